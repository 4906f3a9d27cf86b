//! The order of callbacks, and the effect if one fails, panics or stops the stage.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
use std::{
    task::{Context as Task, Poll},
    time::Duration,
};

use broadway_core::{
    BoxError, Callback, StartError,
    machine::dispatch::Broadcast,
    stage::{
        self, Buffer, Cancel, ConsumerHandle, Context, End, Producer, ProducerConsumerHandle,
        ProducerHandle,
    },
};

use crate::common::{
    Counter, Log,
    puppet::{Emit, EmitAndEnd, How, Note, Puppet, StartTimer},
    ready, settle,
};

/// A producer to subscribe to, which emits only on messages.
async fn source() -> ProducerHandle<Puppet> {
    let source = stage::producer(Puppet::new().0).name("source");
    source.start().await.unwrap()
}

/// Leads a producer through all its callbacks.
async fn live_as_producer(puppet: Puppet) -> Result<End, StartError> {
    let stage = stage::producer(puppet)
        .buffer(Buffer::keep_last(1))
        .start()
        .await?;
    let stream = stage.output().manual().stream().unwrap();
    stream.ask(1);
    settle().await;
    // It may have ended at any of these.
    let _ = stage.call(Emit(vec![1, 2, 3])).await;
    let _ = stage.call(Note("")).await;
    let _ = stage.call(StartTimer).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    settle().await;
    drop(stream);
    settle().await;
    Ok(stage.stop().await)
}

/// Leads a consumer through all its callbacks.
async fn live_as_consumer(puppet: Puppet) -> Result<End, StartError> {
    let source = source().await;
    let stage = stage::consumer(puppet)
        .subscribe_to(source.output().cancel(Cancel::Temporary))
        .start()
        .await?;
    source.call(Emit(vec![1])).await.unwrap();
    settle().await;
    let _ = stage.call(Note("")).await;
    let _ = stage.call(StartTimer).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    source.stop().await;
    settle().await;
    Ok(stage.stop().await)
}

/// Leads a producer-consumer through all its callbacks.
async fn live_as_both(puppet: Puppet) -> Result<End, StartError> {
    let source = source().await;
    let stage = stage::producer_consumer(puppet)
        .buffer(Buffer::keep_last(1))
        .subscribe_to(source.output().cancel(Cancel::Temporary))
        .start()
        .await?;
    let stream = stage.output().manual().stream().unwrap();
    stream.ask(1);
    source.call(Emit(vec![1, 2, 3])).await.unwrap();
    settle().await;
    let _ = stage.call(Note("")).await;
    let _ = stage.call(StartTimer).await;
    tokio::time::advance(Duration::from_secs(2)).await;
    settle().await;
    drop(stream);
    source.stop().await;
    settle().await;
    Ok(stage.stop().await)
}

const OF_PRODUCERS: [&str; 6] = [
    "handle_demand",
    "consumer_subscribed",
    "consumer_cancelled",
    "handle_timer",
    "handle_discarded",
    "receive",
];

const OF_CONSUMERS: [&str; 5] = [
    "handle_events",
    "handle_subscribe",
    "handle_cancel",
    "handle_timer",
    "receive",
];

const OF_BOTH: [&str; 8] = [
    "handle_events",
    "handle_subscribe",
    "handle_cancel",
    "consumer_subscribed",
    "consumer_cancelled",
    "handle_timer",
    "handle_discarded",
    "receive",
];

/// Checks how a stage ends that misbehaves in this way at each of the callbacks.
async fn check<F>(callbacks: &[&'static str], how: How, live: impl Fn(Puppet) -> F)
where
    F: Future<Output = Result<End, StartError>>,
{
    for &callback in callbacks {
        let (puppet, log) = Puppet::new();
        let end = live(puppet.at(callback, how)).await.unwrap();
        let last = log.take().pop().unwrap();
        if how == How::Stop {
            assert!(matches!(end, End::Normal), "{callback}: {end}");
            assert_eq!(last, "terminate: ended", "{callback}");
            continue;
        }
        let Some(failure) = end.failure() else {
            panic!("{callback}: {end}");
        };
        assert_eq!(failure.reason().callback().name(), callback);
        assert_eq!(failure.reason().is_panic(), how == How::Panic, "{callback}");
        assert!(end.to_string().contains("as it was told"), "{end}");
        // A stage that panicked is in no state to be called again.
        let terminated = last.starts_with("terminate: stage ");
        assert_eq!(terminated, how == How::Error, "{callback}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_in_any_callback_ends_the_stage_and_names_the_callback() {
    check(&OF_PRODUCERS, How::Error, live_as_producer).await;
    check(&OF_CONSUMERS, How::Error, live_as_consumer).await;
    check(&OF_BOTH, How::Error, live_as_both).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_any_callback_ends_the_stage_and_names_the_callback() {
    check(&OF_PRODUCERS, How::Panic, live_as_producer).await;
    check(&OF_CONSUMERS, How::Panic, live_as_consumer).await;
    check(&OF_BOTH, How::Panic, live_as_both).await;
}

#[tokio::test(start_paused = true)]
async fn any_callback_can_stop_the_stage() {
    check(&OF_PRODUCERS, How::Stop, live_as_producer).await;
    check(&OF_CONSUMERS, How::Stop, live_as_consumer).await;
    check(&OF_BOTH, How::Stop, live_as_both).await;
}

/// Misbehaves when it is polled.
struct Polled(How);

impl Producer for Polled {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    fn poll_more(&mut self, _: &mut Task<'_>, cx: &mut Context<u64>) -> Poll<Result<(), BoxError>> {
        cx.emit(1);
        Poll::Ready(match self.0 {
            How::Error => Err("as it was told".into()),
            How::Panic => panic!("as it was told"),
            How::Stop => {
                cx.stop();
                Ok(())
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_may_fail_panic_and_stop_the_stage_like_other_callbacks() {
    for (how, expected, sent) in [
        (
            How::Error,
            "stage producer: poll_more failed: as it was told",
            vec![],
        ),
        (
            How::Panic,
            "stage producer: poll_more panicked: as it was told",
            vec![],
        ),
        (How::Stop, "ended", vec![1]),
    ] {
        let stage = stage::producer(Polled(how)).start().await.unwrap();
        let mut stream = stage.output().stream().unwrap();
        assert_eq!(stage.join().await.to_string(), expected);
        assert_eq!(ready(&mut stream).await, sent);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_whose_init_fails_does_not_start() {
    for how in [How::Error, How::Panic] {
        let puppet = || Puppet::new().0.at("init", how);
        let errors = [
            live_as_producer(puppet()).await.unwrap_err(),
            live_as_consumer(puppet()).await.unwrap_err(),
            live_as_both(puppet()).await.unwrap_err(),
        ];
        for error in errors {
            let StartError::Init { reason, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(reason.callback().name(), "init");
            assert_eq!(reason.is_panic(), how == How::Panic);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_may_stop_in_init() {
    let puppet = || Puppet::new().0.at("init", How::Stop);
    assert!(matches!(live_as_producer(puppet()).await, Ok(End::Normal)));
    assert!(matches!(live_as_consumer(puppet()).await, Ok(End::Normal)));
    assert!(matches!(live_as_both(puppet()).await, Ok(End::Normal)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_terminate_changes_nothing() {
    for how in [How::Error, How::Panic] {
        let puppet = Puppet::new().0.at("terminate", how);
        assert!(matches!(live_as_producer(puppet).await, Ok(End::Shutdown)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_is_called_in_this_order() {
    let (puppet, log) = Puppet::new();
    live_as_producer(puppet).await.unwrap();
    let expected = [
        "init",
        "consumer subscribed",
        "demand 1",
        "discarded [2] at a demand of 0",
        "note ",
        "timer",
        "consumer cancelled: ended",
        "terminate: shut down",
    ];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_called_in_this_order() {
    let (puppet, log) = Puppet::new();
    live_as_consumer(puppet).await.unwrap();
    let expected = [
        "init",
        "subscribed to source",
        "events [1]",
        "note ",
        "timer",
        "cancelled source: shut down",
        "terminate: shut down",
    ];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_producer_consumer_is_called_in_this_order() {
    let (puppet, log) = Puppet::new();
    live_as_both(puppet).await.unwrap();
    let expected = [
        "init",
        "subscribed to source",
        "consumer subscribed",
        "events [1, 2, 3]",
        "discarded [2] at a demand of 0",
        "note ",
        "timer",
        "consumer cancelled: ended",
        "cancelled source: shut down",
        "terminate: shut down",
    ];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn terminate_gets_each_kind_of_end() {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .name("puppet")
        .start()
        .await
        .unwrap();
    drop(stage);
    settle().await;
    assert_eq!(log.take(), ["init", "terminate: shut down"]);

    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet)
        .name("puppet")
        .start()
        .await
        .unwrap();
    assert!(stage.call(EmitAndEnd(1, How::Error)).await.is_err());
    let expected = "terminate: stage puppet: receive failed: as it was told";
    assert_eq!(log.take(), ["init", expected]);

    let (puppet, log) = Puppet::new();
    let stage = stage::producer(puppet).start().await.unwrap();
    stage.abort();
    assert!(matches!(stage.join().await, End::Shutdown));
    assert_eq!(log.take(), ["init"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_stop_the_stage_and_is_answered() {
    let source = source().await;
    let mut stream = source.output().stream().unwrap();
    assert_eq!(source.call(EmitAndEnd(7, How::Stop)).await, Ok(()));
    assert!(matches!(source.join().await, End::Normal));
    assert_eq!(ready(&mut stream).await, [7]);
    assert!(matches!(stream.end(), Some(End::Normal)));
}

#[tokio::test(start_paused = true)]
async fn events_of_a_failed_callback_are_not_sent() {
    for how in [How::Error, How::Panic] {
        let source = source().await;
        let mut stream = source.output().stream().unwrap();
        let gone = source.call(EmitAndEnd(7, how)).await.unwrap_err();
        assert_eq!(gone.stage(), "source");
        assert_eq!(ready(&mut stream).await, [0; 0]);
        let end = stream.end().unwrap();
        assert_eq!(end.failure().unwrap().stage(), "source");
        assert_eq!(source.stats().emitted, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_learns_how_its_consumer_ended() {
    for (how, expected) in [
        (How::Stop, "consumer cancelled: ended"),
        (
            How::Error,
            "consumer cancelled: stage consumer: receive failed: as it was told",
        ),
    ] {
        let (puppet, log) = Puppet::new();
        let source = stage::producer(puppet).start().await.unwrap();
        let consumer = stage::consumer(Puppet::new().0.at("receive", how))
            .subscribe_to(source.output())
            .start()
            .await
            .unwrap();
        let _ = consumer.call(Note("")).await;
        settle().await;
        assert_eq!(log.take().pop().unwrap(), expected);
        assert!(source.end().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_without_handles_still_learns_of_its_consumers() {
    let (puppet, log) = Puppet::new();
    let source = stage::producer(puppet).start().await.unwrap();
    let output = source.output().manual();
    drop(source);
    let stream = output.stream().unwrap();
    stream.ask(1);
    settle().await;
    assert_eq!(log.take(), ["init", "consumer subscribed", "demand 1"]);
    drop(stream);
    settle().await;
    assert_eq!(log.take(), ["consumer cancelled: ended"]);
    drop(output);
    settle().await;
    assert_eq!(log.take(), ["terminate: shut down"]);
}

type Both = ProducerConsumerHandle<Puppet>;

async fn both(source: &ProducerHandle<Puppet>) -> (Both, Log<String>) {
    let (puppet, log) = Puppet::new();
    let stage = stage::producer_consumer(puppet).subscribe_to(source.output());
    (stage.start().await.unwrap(), log)
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_learns_of_an_end_when_nothing_waits_before_it() {
    let source = source().await;
    let (stage, log) = both(&source).await;
    settle().await;
    log.take();
    // It has no demand, so events would wait, but there are none.
    source.stop().await;
    assert!(matches!(stage.join().await, End::Shutdown));
    assert_eq!(
        log.take(),
        ["cancelled source: shut down", "terminate: shut down"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_sees_an_end_behind_the_events_before_it() {
    let source = source().await;
    let (stage, log) = both(&source).await;
    source.call(Emit(vec![1])).await.unwrap();
    source.stop().await;
    settle().await;
    assert_eq!(log.take(), ["init", "subscribed to source"]);
    let mut stream = stage.output().stream().unwrap();
    assert_eq!(ready(&mut stream).await, [1]);
    let expected = [
        "consumer subscribed",
        "events [1]",
        "cancelled source: shut down",
        "terminate: shut down",
    ];
    assert_eq!(log.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_hands_a_failure_on() {
    let source = source().await;
    let (stage, _) = both(&source).await;
    let (puppet, log) = Puppet::new();
    let consumer: ConsumerHandle<Puppet> = stage::consumer(puppet)
        .subscribe_to(stage.output())
        .start()
        .await
        .unwrap();
    let _ = source.call(EmitAndEnd(1, How::Panic)).await;
    let end = consumer.join().await;
    assert_eq!(end.failure().unwrap().stage(), "source");
    let expected = "stage source: receive panicked: as it was told";
    assert_eq!(end.to_string(), expected);
    assert_eq!(log.take().pop().unwrap(), format!("terminate: {expected}"));
}

#[tokio::test(start_paused = true)]
async fn a_selector_that_panics_over_waiting_events_ends_its_producer_and_no_consumer() {
    let (counter, _) = Counter::new(0..4);
    let counter = stage::producer(counter)
        .dispatcher(Broadcast::new())
        .accumulate()
        .start()
        .await
        .unwrap();
    let asking = counter.output().max_demand(10).stream().unwrap();
    let mut slow = counter.output().manual().stream().unwrap();
    let broken = counter.selecting(|n| {
        assert!(*n < 2, "no selector for such numbers");
        true
    });
    let mut broken = broken.max_demand(10).stream().unwrap();
    slow.ask(1);
    counter.forward_demand();
    assert_eq!((slow.next().await, broken.next().await), (Some(0), Some(0)));
    slow.ask(3); // waiting events are handed out here, in the task of an innocent consumer
    let end = counter.join().await;
    let failure = end.failure().expect("the producer's function panicked");
    assert_eq!(failure.reason().callback(), Callback::Dispatch);
    assert!(failure.reason().is_panic());
    for mut stream in [asking, slow, broken] {
        while stream.next().await.is_some() {}
        assert!(stream.end().is_some_and(End::is_failed));
    }
}
