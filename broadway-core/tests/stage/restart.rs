//! Restarts of stages that fail, and the events that are lost.

mod callbacks;
mod parts;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, Callback, StartError,
    machine::restart::{Intensity, RestartPolicy},
    stage::{self, ConsumerHandle, Context, End, Producer},
};
use tokio::time::{Instant, advance};

use crate::{
    common::{Counter, Log, Recorder, settle},
    subscriptions::{Order, Probe, Push, queue},
};

use parts::{Fragile, Plan, RecordedEvent, pause, policy};

const BOTH: [Order; 2] = [Order::Fail, Order::Panic];

/// Consumes twenty numbers in chunks of five. The first value fails at the first chunk.
async fn failed_consumer(plan: &Plan) -> (ConsumerHandle<Fragile>, Log<usize>) {
    let (counter, demands) = Counter::new(0..20);
    let counter = stage::producer(counter).start().await.unwrap();
    let consumer = plan
        .consumer()
        .subscribe_to(counter.output().max_demand(10))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(consumer.stats().restarts, 0);
    (consumer, demands)
}

#[tokio::test(start_paused = true)]
async fn a_restarted_consumer_goes_on_behind_the_chunk_in_hand_which_is_lost_and_counted() {
    let plan = Plan::new("handle_events", Order::Panic);
    let (consumer, demands) = failed_consumer(&plan).await;
    assert!(matches!(consumer.join().await, End::Normal));
    let log = plan.log.take();
    let handled = log.iter().filter(|entry| entry.contains("handle_events"));
    let expected = [
        "0 handle_events [0, 1, 2, 3, 4]",
        "1 handle_events [5, 6, 7, 8, 9]",
        "1 handle_events [10, 11, 12, 13, 14]",
        "1 handle_events [15, 16, 17, 18, 19]",
    ];
    assert_eq!(handled.collect::<Vec<_>>(), expected);
    let stats = consumer.stats();
    assert_eq!((stats.received, stats.lost, stats.restarts), (20, 5, 1));
    // Nothing was asked for twice: at most what was still to come when the numbers ended.
    assert!(demands.take().iter().sum::<usize>() <= 30);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_outlive_a_restart_on_both_sides() {
    let plan = Plan::new("handle_events", Order::Fail);
    let (queue, heard) = queue("queue").await;
    let consumer = plan.consumer().subscribe_to(queue.output());
    let consumer = consumer.start().await.unwrap();
    queue.call(Push(0..1)).await.unwrap();
    settle().await;
    pause().await;
    queue.call(Push(1..2)).await.unwrap();
    settle().await;
    assert_eq!(consumer.stats().restarts, 1);
    let told = [
        "0 init ()",
        "0 handle_subscribe \"queue\"",
        "0 handle_events [0]",
        "0 terminate stage consumer: handle_events failed: told to fail",
        "1 init ()",
        "1 handle_subscribe \"queue\"",
        "1 handle_events [1]",
    ];
    assert_eq!(plan.log.take(), told);
    assert_eq!(heard.take().len(), 1, "subscribed, once");
}

#[tokio::test(start_paused = true)]
async fn messages_wait_in_the_mailbox_during_the_pause_and_the_failed_one_is_not_repeated() {
    let plan = Plan::new("receive", Order::Fail);
    let consumer = plan.consumer().start().await.unwrap();
    assert!(consumer.call("first").await.is_err());
    consumer.cast("second").await.unwrap();
    assert_eq!(consumer.call("third").await, Ok(1));
    let log = plan.log.take();
    let received = log.iter().filter(|entry| entry.contains("receive \""));
    let expected = [
        "0 receive \"first\"",
        "1 receive \"second\"",
        "1 receive \"third\"",
    ];
    assert_eq!(received.collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn timers_do_not_outlive_a_restart() {
    let plan = Plan::new("receive", Order::Fail);
    let consumer = plan.consumer().start().await.unwrap();
    assert!(consumer.call("fail").await.is_err());
    pause().await;
    advance(Duration::from_secs(1)).await;
    settle().await;
    let log = plan.log.take();
    let timers = log.iter().filter(|entry| entry.contains("handle_timer"));
    assert_eq!(timers.collect::<Vec<_>>(), ["1 handle_timer ()"]);
}

#[tokio::test(start_paused = true)]
async fn a_restarted_producer_is_asked_for_the_outstanding_demand() {
    let plan = Plan::new("receive", Order::Fail);
    let producer = stage::producer(plan.make()).restart(policy(), plan.maker());
    let producer = producer.start().await.unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).subscribe_to(producer.output().max_demand(10));
    let consumer = consumer.start().await.unwrap();
    settle().await;
    assert!(producer.call(Push(0..3)).await.is_err());
    pause().await;
    let log = plan.log.take();
    let asked = log.iter().filter(|entry| entry.contains("handle_demand"));
    let expected = ["0 handle_demand 10", "1 handle_demand 10"];
    assert_eq!(asked.collect::<Vec<_>>(), expected);
    producer.call(Push(3..6)).await.unwrap();
    settle().await;
    assert_eq!(chunks.take(), [[3, 4, 5]], "what it failed at was not sent");
    assert!(consumer.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn demand_during_the_back_off_is_reported_once_after_it() {
    let plan = Plan::new("receive", Order::Fail);
    let producer = stage::producer(plan.make()).restart(policy(), plan.maker());
    let producer = producer.start().await.unwrap();
    assert!(producer.call(Push(0..3)).await.is_err());
    let _stream = producer.output().max_demand(10).stream().unwrap();
    settle().await;
    let _other = producer.output().max_demand(7).stream().unwrap();
    settle().await;
    pause().await;
    let log = plan.log.take();
    let asked = log.iter().filter(|entry| entry.contains("handle_demand"));
    assert_eq!(asked.collect::<Vec<_>>(), ["1 handle_demand 17"]);
}

#[tokio::test(start_paused = true)]
async fn buffered_events_of_a_stage_that_fails_are_sent_in_order() {
    let plan = Plan::new("handle_timer", Order::Fail);
    let producer = stage::producer(plan.make()).restart(policy(), plan.maker());
    let producer = producer.start().await.unwrap();
    producer.call(Push(0..100)).await.unwrap();
    advance(Duration::from_secs(1)).await;
    settle().await;
    let mut stream = producer.output().max_demand(10).stream().unwrap();
    let mut events = Vec::new();
    while events.len() < 100 {
        events.push(stream.next().await.unwrap());
    }
    assert_eq!(events, (0..100).collect::<Vec<_>>());
    pause().await;
    assert_eq!(producer.call(Push(100..101)).await, Ok(1));
    assert_eq!(stream.next().await, Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_producer_consumer_loses_only_the_current_chunk_and_its_results() {
    let plan = Plan::new("handle_events", Order::Fail);
    let (counter, _) = Counter::new(0..100);
    let counter = stage::producer(counter).start().await.unwrap();
    let middle = stage::producer_consumer(plan.make())
        .restart(policy(), plan.maker())
        .subscribe_to(counter.output().max_demand(20))
        .start()
        .await
        .unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).subscribe_to(middle.output().max_demand(4));
    let consumer = consumer.start().await.unwrap();
    assert!(matches!(consumer.join().await, End::Normal));
    assert_eq!(chunks.take().concat(), (10..100).collect::<Vec<_>>());
    assert_eq!(middle.stats().lost, 10);
}

#[tokio::test(start_paused = true)]
async fn events_go_to_others_while_a_failed_consumer_rests() {
    let plan = Plan::new("receive", Order::Fail);
    let (queue, _) = queue("queue").await;
    let resting = plan.consumer().subscribe_to(queue.output());
    let resting = resting.start().await.unwrap();
    settle().await;
    assert!(resting.call("fail").await.is_err());
    let (recorder, chunks) = Recorder::new();
    let other = stage::consumer(recorder).subscribe_to(queue.output().max_demand(10));
    let _other = other.start().await.unwrap();
    settle().await;
    queue.call(Push(0..3)).await.unwrap();
    settle().await;
    assert_eq!(chunks.take(), [[0, 1, 2]]);
    assert_eq!(resting.stats().restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn each_failure_makes_the_pause_longer_and_a_failing_init_is_one() {
    let mut plan = Plan::new("receive", Order::Fail);
    plan.unlucky = 3;
    let heard = RecordedEvent::new();
    let consumer = plan.consumer().observe(heard.clone());
    let consumer = consumer.start().await.unwrap();
    assert!(consumer.call("fail").await.is_err());
    assert_eq!(consumer.call("alive").await, Ok(4));
    let failures = heard.0.take();
    let callbacks: Vec<_> = failures.iter().map(|failure| failure.0).collect();
    let init = Callback::Init;
    assert_eq!(callbacks, [Callback::Receive, init, init, init]);
    for (failure, seconds) in failures.iter().zip([20, 40, 40, 40]) {
        let (pause, longest) = (failure.3.unwrap(), Duration::from_secs(seconds));
        assert!(longest / 2 <= pause && pause <= longest);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_too_often_is_given_up_and_ends_as_failed() {
    let policy = policy().intensity(Intensity {
        restarts_max: 2,
        window: Duration::from_secs(3_600),
    });
    let mut plan = Plan::new("handle_events", Order::Fail);
    plan.unlucky = usize::MAX;
    let (queue, log) = queue("queue").await;
    let consumer = stage::consumer(plan.make())
        .name("hopeless")
        .restart(policy, plan.maker())
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    queue.call(Push(0..1)).await.unwrap();
    let end = consumer.join().await;
    let failure = end.failure().expect("it failed");
    assert_eq!(failure.stage(), "hopeless");
    assert!(failure.to_string().contains("no luck"), "{failure}");
    assert_eq!(plan.made.load(SeqCst), 3);
    settle().await;
    assert!(log.take()[1].contains("no luck"), "its producer learns why");
    assert!(consumer.call("alive").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_first_init_is_not_tried_again() {
    for order in BOTH {
        let plan = Plan::new("init", order);
        let error = plan.consumer().name("broken").start().await.unwrap_err();
        assert!(matches!(error, StartError::Init { .. }), "{error}");
        pause().await;
        assert_eq!(plan.made.load(SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_function_that_makes_the_stage_is_a_failure_as_others() {
    let plan = Plan::new("receive", Order::Fail);
    let mut make = plan.maker();
    let mut tried = 0;
    let consumer = stage::consumer(plan.make()).restart(policy(), move || {
        tried += 1;
        assert!(tried > 1, "not yet");
        make()
    });
    let consumer = consumer.start().await.unwrap();
    assert!(consumer.call("fail").await.is_err());
    assert_eq!(consumer.call("alive").await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_pause_works_at_once() {
    let plan = Plan::new("handle_events", Order::Fail);
    let (consumer, _) = failed_consumer(&plan).await;
    let before = Instant::now();
    assert!(matches!(consumer.stop().await, End::Shutdown));
    assert_eq!(Instant::now(), before);
    let log = plan.log.take();
    let last_calls = log.iter().filter(|entry| entry.contains("terminate"));
    assert_eq!(last_calls.count(), 1, "{log:?}");
    assert_eq!(plan.made.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_producer_does_not_wait_for_its_restart() {
    let plan = Plan::new("receive", Order::Fail);
    let producer = stage::producer(plan.make()).restart(policy(), plan.maker());
    let producer = producer.start().await.unwrap();
    assert!(producer.call(Push(0..3)).await.is_err());
    drop(producer);
    settle().await;
    let tasks = tokio::runtime::Handle::current();
    assert_eq!(tasks.metrics().num_alive_tasks(), 0);
    assert_eq!(plan.made.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn subscribing_and_cancelling_during_the_back_off_holds_after_it() {
    let plan = Plan::new("receive", Order::Fail);
    let (old, _) = queue("old").await;
    let (new, _) = queue("new").await;
    let consumer = plan.consumer().start().await.unwrap();
    let subscription = consumer.subscribe(&old.output()).unwrap();
    assert!(consumer.call("fail").await.is_err());
    consumer.resubscribe(&subscription, &new.output()).unwrap();
    settle().await;
    assert!(!subscription.ask(0), "it is cancelled already");
    pause().await;
    old.call(Push(0..1)).await.unwrap();
    new.call(Push(1..2)).await.unwrap();
    settle().await;
    let log = plan.log.take();
    let of_second = log.iter().filter(|entry| entry.starts_with('1'));
    let told = [
        "1 init ()",
        "1 handle_subscribe \"new\"",
        "1 handle_events [1]",
    ];
    assert_eq!(of_second.take(3).collect::<Vec<_>>(), told);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_producer_during_the_back_off_is_seen_after_it_behind_its_events() {
    let plan = Plan::new("receive", Order::Fail);
    let (queue, _) = queue("queue").await;
    let consumer = plan.consumer().subscribe_to(queue.output());
    let consumer = consumer.start().await.unwrap();
    assert!(consumer.call("fail").await.is_err());
    queue.call(Push(0..2)).await.unwrap();
    queue.stop().await;
    settle().await;
    assert!(consumer.end().is_none());
    assert!(matches!(consumer.join().await, End::Shutdown));
    let log = plan.log.take();
    let told = [
        "1 handle_subscribe \"queue\"",
        "1 handle_events [0, 1]",
        "1 handle_cancel \"queue\"",
        "1 terminate shut down",
    ];
    assert_eq!(log[log.len() - 4..], told);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_rests_is_still_there_for_its_consumers() {
    let plan = Plan::new("receive", Order::Fail);
    let producer = stage::producer(plan.make()).name("resting");
    let producer = producer.restart(policy(), plan.maker()).start();
    let producer = producer.await.unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).subscribe_to(producer.output());
    let probe = probe.start().await.unwrap();
    assert!(producer.call(Push(0..1)).await.is_err());
    settle().await;
    assert!(probe.end().is_none());
    assert_eq!(producer.call(Push(0..1)).await, Ok(1));
    settle().await;
    assert_eq!(log.take(), ["subscribed resting", "resting [0]"]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_stage_without_restart_ends_it_and_counts_the_lost_chunk() {
    for order in BOTH {
        let plan = Plan::new("handle_events", order);
        let heard = RecordedEvent::new();
        let (queue, _) = queue("queue").await;
        let consumer = stage::consumer(plan.make()).observe(heard.clone());
        let consumer = consumer.subscribe_to(queue.output()).start().await.unwrap();
        queue.call(Push(0..3)).await.unwrap();
        let end = consumer.join().await;
        assert!(end.is_failed());
        assert_eq!(consumer.stats().lost, 3);
        let panicked = order == Order::Panic;
        let failures = heard.0.take();
        assert_eq!(
            failures,
            [(Callback::HandleEvents, panicked, 3, None)],
            "told once"
        );
    }
}

/// Holds the only seat, as a server holds its port.
struct Seated {
    seats: Arc<AtomicUsize>,
    fails: bool,
}

impl Seated {
    fn take_a_seat(seats: &Arc<AtomicUsize>, fails: bool) -> Self {
        assert_eq!(seats.fetch_sub(1, SeqCst), 1, "there is a free seat");
        let seats = Arc::clone(seats);
        Self { seats, fails }
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seats.fetch_add(1, SeqCst);
    }
}

impl Producer for Seated {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, cx: &mut Context<u64>) -> Result<(), BoxError> {
        if self.fails {
            return Err("told to fail".into());
        }
        cx.emit(1);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_value_is_dropped_before_another_is_made() {
    let seats = Arc::new(AtomicUsize::new(1));
    let again = Arc::clone(&seats);
    let producer = stage::producer(Seated::take_a_seat(&seats, true))
        .restart(RestartPolicy::default(), move || {
            Seated::take_a_seat(&again, false)
        })
        .start()
        .await
        .unwrap();
    let mut stream = producer.output().stream().unwrap();
    assert_eq!(stream.next().await, Some(1));
    assert_eq!(producer.stats().restarts, 1);
}
