//! The telemetry of stages, and that it is complete.

use std::convert::Infallible;
use std::time::Duration;

use broadway_core::{
    BoxError,
    machine::{dispatch::Partition, restart::RestartPolicy},
    stage::{self, Buffer, Consumer, Context, End, Producer, Receive, Subscription, Timer},
    testing::{RecordedEvent, Recorder},
};

use crate::common::{Counter, Forwarder, settle};

/// Emits the numbers that it is sent and, a second later, a zero.
struct Queue;
struct Push(Vec<u64>);

impl Producer for Queue {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn handle_timer(&mut self, _: Timer, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit(0);
        Ok(())
    }
}

impl Receive<Push, u64> for Queue {
    type Reply = ();

    async fn receive(&mut self, push: Push, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit_all(push.0);
        cx.start_timer(Duration::from_secs(1));
        Ok(())
    }
}

/// Fails at the first chunk with a 3.
struct Unlucky {
    refuses: bool,
}

impl Consumer for Unlucky {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        match self.refuses && events.contains(&3) {
            true => Err("unlucky".into()),
            false => Ok(()),
        }
    }
}

fn names(heard: &[RecordedEvent]) -> Vec<&'static str> {
    heard.iter().map(RecordedEvent::name).collect()
}

/// The last value that a recorder has of a level, such as the size of a buffer.
fn last(recorder: &Recorder, name: &str, field: &str) -> u64 {
    let heard = recorder.of(name);
    heard.last().expect("it was told").number(field)
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_reports_every_boundary() {
    let recorder = Recorder::new();
    let numbers = stage::producer(Counter::new(0..4).0)
        .name("numbers")
        .start()
        .await
        .unwrap();
    let middle = stage::producer_consumer(Forwarder)
        .name("middle")
        .observe(recorder.clone())
        .subscribe_to(numbers.output())
        .start()
        .await
        .unwrap();
    let mut stream = middle.output().max_demand(10).stream().unwrap();
    while stream.next().await.is_some() {}
    assert!(!middle.join().await.is_failed());

    let told: Vec<_> = recorder
        .all()
        .iter()
        .map(RecordedEvent::to_string)
        .collect();
    for expected in [
        "stage_subscribed producer=numbers subscriptions=1",
        "stage_consumer_subscribed",
        "stage_demanded demand=10 outstanding=10",
        "stage_handled count=4 emitted=4",
        "stage_emitted count=4 outstanding=6",
        "stage_cancelled producer=numbers end=ended subscriptions=0",
    ] {
        assert!(
            told.iter().any(|told| told == expected),
            "{expected}: {told:?}"
        );
    }
    assert_eq!(told.first().map(String::as_str), Some("stage_started"));
    assert_eq!(
        told.last().map(String::as_str),
        Some("stage_ended end=ended")
    );
}

#[tokio::test(start_paused = true)]
async fn events_emitted_by_messages_and_timers_are_reported_too() {
    let recorder = Recorder::new();
    let odd_is_for_nobody = |n: &u64| n.is_multiple_of(2).then_some(0);
    let queue = stage::producer(Queue)
        .dispatcher(Partition::new(1, odd_is_for_nobody))
        .buffer(Buffer::keep_first(6))
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    queue.call(Push((0..10).collect())).await.unwrap();
    assert_eq!(last(&recorder, "stage_buffered", "count"), 6);

    let mut events = queue.partition(0).max_demand(20).stream().unwrap();
    for expected in [0, 2, 4, 0] {
        assert_eq!(events.next().await, Some(expected));
    }
    queue.stop().await;

    let stats = queue.stats();
    let counts = [
        stats.emitted,
        stats.discarded,
        stats.dropped,
        stats.buffered,
    ];
    assert_eq!(counts, [11, 4, 3, 0]);
    let sum = |name| recorder.sum(name, "count");
    let told = ["stage_emitted", "stage_discarded", "stage_dropped"].map(sum);
    assert_eq!(told, counts[..3]);
    assert_eq!(last(&recorder, "stage_buffered", "count"), 0);
    for callback in ["receive", "handle_timer"] {
        let called = recorder.of("stage_called");
        let of_it = |heard: &&RecordedEvent| heard.get("callback") == Some(callback);
        assert_eq!(called.iter().filter(of_it).count(), 1, "{callback}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_and_the_lost_events_are_reported() {
    let recorder = Recorder::new();
    let numbers = stage::from_iter(0..10).start().await.unwrap();
    let unlucky = stage::consumer(Unlucky { refuses: true })
        .restart(RestartPolicy::default(), || Unlucky { refuses: false })
        .observe(recorder.clone())
        .subscribe_to(numbers.output().max_demand(1))
        .start()
        .await
        .unwrap();
    assert!(!unlucky.join().await.is_failed());

    let (stats, all) = (unlucky.stats(), recorder.all());
    let handled = recorder.sum("stage_handled", "count");
    let lost = recorder.sum("stage_failed", "lost");
    assert_eq!((handled + lost, lost), (stats.received, stats.lost));
    assert_eq!((stats.received, stats.lost), (10, 1));
    let failure = recorder.of("stage_failed")[0].to_string();
    assert_eq!(
        failure,
        "stage_failed reason=handle_events failed: unlucky lost=1 restarts=true"
    );
    let mut life = names(&all);
    life.retain(|name| ["stage_started", "stage_failed", "stage_restarted"].contains(name));
    assert_eq!(life, ["stage_started", "stage_failed", "stage_restarted"]);
    // The subscription is reported at the start, and again to the restarted stage, before the end of the producer.
    assert_eq!(recorder.count("stage_subscribed"), 2);
    assert_eq!(last(&recorder, "stage_subscribed", "subscriptions"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_aborted_reports_its_end_also_before_its_first_poll() {
    for runs_before in [false, true] {
        let recorder = Recorder::new();
        let queue = stage::producer(Queue)
            .observe(recorder.clone())
            .start()
            .await
            .unwrap();
        if runs_before {
            settle().await;
        }
        queue.abort();
        assert!(matches!(queue.join().await, End::Shutdown));
        assert_eq!(names(&recorder.all()), ["stage_started", "stage_ended"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_cannot_start_reports_no_event() {
    struct Broken;

    impl Producer for Broken {
        type Event = u64;

        async fn init(&mut self, _: &mut Context<u64>) -> Result<(), BoxError> {
            Err("no".into())
        }

        async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
            Ok(())
        }
    }

    let recorder = Recorder::new();
    let broken = stage::producer(Broken).observe(recorder.clone());
    assert!(broken.start().await.is_err());
    assert_eq!(names(&recorder.all()), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn stages_that_share_a_recorder_are_distinguished() {
    let recorder = Recorder::new();
    let numbers = stage::from_iter(0..4)
        .name("numbers")
        .observe(recorder.clone())
        .start()
        .await
        .unwrap();
    let middle = stage::producer_consumer(Forwarder)
        .name("middle")
        .observe(recorder.clone())
        .subscribe_to(numbers.output())
        .start()
        .await
        .unwrap();
    let mut stream = middle.output().stream().unwrap();
    while stream.next().await.is_some() {}
    recorder.wait_count("stage_ended", 2).await;
    let ended = recorder.of("stage_ended");
    let tellers: Vec<_> = ended.iter().map(RecordedEvent::teller).collect();
    assert_eq!(tellers, ["numbers", "middle"]);
}
