//! Every event of the engine is emitted, and an observer cannot break a topology.

use std::{collections::BTreeSet, time::Duration};

use broadway_core::{
    Batching, Callback, Next, Outcome, Processors, RateLimit, Retry,
    machine::restart::{Intensity, RestartPolicy},
    permanent,
    telemetry::{Event, Observer},
    testing::{Collector, Fault, Recorder, drained},
};

use crate::common::{SECOND, Script, Sink, Wait, fed, outcomes};

/// Events that only connectors emit.
const OF_CONNECTORS: [&str; 13] = [
    "assigned",
    "revoked",
    "halted",
    "unhalted",
    "lost",
    "repositioned",
    "lag",
    "committed",
    "commit_failed",
    "source_error",
    "late_results",
    "published",
    "delivery_limit",
];

/// All event names, from the file that defines them.
fn every_name() -> BTreeSet<String> {
    let source = include_str!("../../src/telemetry/event.rs");
    let (_, names) = source.split_once("pub const fn name").unwrap();
    let names = names
        .split("Self::")
        .filter_map(|piece| piece.split_once("=> \"")?.1.split_once('"'));
    let names: BTreeSet<_> = names.map(|(name, _)| name.to_owned()).collect();
    assert!(names.len() > 20, "{names:?}");
    names
}

#[tokio::test(start_paused = true)]
async fn every_event_of_the_engine_is_emitted() {
    let recorder = Recorder::new();
    let script = Script::new()
        .message(|message| match *message.data() {
            0 => Err(permanent("refused")),
            6 if message.attempt() == 1 => Err("busy".into()),
            n => Ok(Next::batch(Sink::One, n)),
        })
        .done(|done| assert!(*done.get_mut(0).unwrap().data() != 4, "while done"))
        .batch(|_, batch| match batch.data()[0] {
            1 => Err(permanent("refused")),
            2 => {
                batch.fail(batch.rows().next().unwrap(), permanent("bad row"));
                Ok(())
            }
            _ => Ok(()),
        })
        .wait(|n| if *n == 99 { Wait::Ever } else { Wait::No });
    let (pipeline, feed) = fed(script);
    feed.faults()
        .at(Callback::Settle, 0, Fault::error("broker away"));
    let restart = RestartPolicy::default().intensity(Intensity {
        restarts_max: 1,
        window: SECOND * 60,
    });
    let pipeline = pipeline
        .rate_limit(RateLimit::per(2, SECOND))
        .restart(restart)
        .batchers(|_| Batching::new(1, SECOND))
        .drain_timeout(SECOND * 3)
        .on_failure(Retry::fixed(SECOND / 10))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    topology.pause();
    topology.resume();
    topology.pause_source("source").unwrap();
    topology.resume_source("source").unwrap();
    topology.set_processors(2).unwrap();
    outcomes(feed.push_all(0..7)).await;
    outcomes(topology.push([7]).await.unwrap()).await;
    feed.fail("connection lost");
    feed.push(99);
    feed.fail("connection lost again");
    topology.wait().await.unwrap_err();
    let emitted: BTreeSet<_> = recorder
        .all()
        .iter()
        .map(|event| event.name().to_owned())
        .collect();
    let mut expected = every_name();
    OF_CONNECTORS
        .iter()
        .for_each(|name| assert!(expected.remove(*name), "{name} is an event"));
    // Not here, since no producer is left to close: see `numbers`.
    assert!(expected.remove("close_failed"));
    // Of the layer, which sends records only: see the tests of dead letters.
    for name in [
        "dead_letters_sent",
        "dead_letters_held",
        "dead_letter_refused",
    ] {
        assert!(expected.remove(name), "{name} is an event");
    }
    // On real time only: see `watchdog`.
    assert!(expected.remove("handler_blocked"));
    assert_eq!(emitted, expected);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_batch_and_of_its_chunk_add_up() {
    let recorder = Recorder::new();
    let script = Script::new().message(|message: &mut broadway_core::Message<u64>| {
        match message.data() % 4 {
            0 => Err("refused".into()),
            1 => Ok(Next::Ack),
            _ => Ok(Next::batch(Sink::Two, *message.data()).key("north")),
        }
    });
    let (pipeline, feed) = fed(script);
    feed.push_all(0..40);
    feed.end();
    let pipeline = pipeline
        .batchers(|_| Batching::new(5, SECOND))
        .observe(recorder.clone());
    pipeline.start().await.unwrap().wait().await.unwrap();
    let sum = |name, field| recorder.sum(name, field);
    assert_eq!(sum("produced", "count"), 40);
    assert_eq!(
        sum("chunk_started", "count"),
        40 + sum("chunk_stopped", "returned")
    );
    assert_eq!(
        (sum("chunk_stopped", "done"), sum("chunk_stopped", "failed")),
        (10, 10)
    );
    assert_eq!(sum("chunk_stopped", "forwarded"), 20);
    assert_eq!(
        (sum("batch_ready", "count"), sum("batch_started", "count")),
        (20, 20)
    );
    assert_eq!(sum("batch_stopped", "done"), 20);
    assert_eq!((sum("settled", "done"), sum("settled", "failed")), (30, 10));
    assert_eq!(recorder.count("message_failed"), 10);
    let ready = &recorder.of("batch_ready")[0];
    assert_eq!(
        (ready.get("batcher"), ready.get("key")),
        (Some("two"), Some("north"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_observer_is_contained() {
    struct Broken;
    impl Observer for Broken {
        fn on_event(&self, _: &str, event: &Event<'_>) {
            panic!("cannot observe {}", event.name());
        }
    }
    let (pipeline, feed) = fed(Script::<u64>::batching());
    let topology = pipeline.observe(Broken).start().await.unwrap();
    feed.push_all(0..5);
    feed.wait_delivered(5).await;
    assert_eq!(drained(&topology).await.done, 5);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn all_observers_get_all_events() {
    let (first, second) = (Recorder::new(), Recorder::new());
    let (pipeline, feed) = fed(Script::<u64>::new());
    let topology = pipeline
        .observe(first.clone())
        .observe(second.clone())
        .start()
        .await
        .unwrap();
    outcomes([feed.push(1)]).await;
    drained(&topology).await;
    assert_eq!(first.all(), second.all());
}

#[tokio::test(start_paused = true)]
async fn observers_that_ask_get_latencies_from_delivery_to_settlement() {
    struct Latency(Collector<Duration>);
    impl Observer for Latency {
        fn on_event(&self, _: &str, event: &Event<'_>) {
            if let Event::Settled { settlement, .. } = event {
                settlement
                    .latencies
                    .iter()
                    .for_each(|latency| self.0.push(*latency));
            }
        }
        fn wants_latency(&self) -> bool {
            true
        }
    }
    let latencies = Collector::new();
    let (pipeline, feed) = fed(Script::<u64>::new().wait(|n| Wait::For(SECOND * *n as u32)));
    let pipeline = pipeline
        .processors(Processors::new(3))
        .observe(Latency(latencies.clone()));
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all([1, 2, 3])).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Outcome::Done))
    );
    drained(&topology).await;
    let seconds: Vec<_> = latencies.all().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn handle_failed_is_an_event_with_its_count_in_both_layers() {
    for script in [
        Script::new().message(|_| Err("refused".into())),
        Script::<u64>::batching().batch(|_, _| Err("refused".into())),
    ] {
        let recorder = Recorder::new();
        let (pipeline, feed) = fed(script);
        let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
        feed.push(1);
        feed.wait_delivered(1).await;
        drained(&topology).await;
        let handled = recorder.of("failed_handled");
        assert_eq!(handled.len(), 1);
        assert_eq!(
            (handled[0].number("count"), handled[0].get("panic")),
            (1, None)
        );
    }
}
