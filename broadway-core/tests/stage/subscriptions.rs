//! Subscribing, resubscribing and cancelling at run time.

use std::{ops::Range, sync::Arc};

use broadway_core::{
    BoxError, StartError,
    stage::{
        self, Cancel, Consumer, ConsumerHandle, Context, End, Nothing, Producer, ProducerHandle,
        Receive, SubscribeError, Subscription, SubscriptionId,
    },
};
use tokio::sync::Semaphore;

use crate::common::{Counter, Forwarder, Log, Recorder, settle};

/// Emits what it is given, and logs its consumers.
pub(crate) struct Queue {
    pub(crate) log: Log<String>,
}

/// For a [`Queue`].
pub(crate) struct Push(pub(crate) Range<u64>);

/// What a stage is told to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Stop,
    Fail,
    Panic,
}

impl Order {
    /// Does as it is told.
    pub(crate) fn obey<E>(self, cx: &mut Context<E>) -> Result<(), BoxError> {
        match self {
            Self::Stop => cx.stop(),
            Self::Fail => return Err("told to fail".into()),
            Self::Panic => panic!("told to panic"),
        }
        Ok(())
    }
}

impl Producer for Queue {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    async fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("subscribed {consumer}"));
        Ok(())
    }

    async fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("cancelled {consumer}: {end}"));
        Ok(())
    }

    async fn terminate(&mut self, end: &End) {
        self.log.push(format!("terminated: {end}"));
    }
}

impl Receive<Push, u64> for Queue {
    type Reply = ();

    async fn receive(&mut self, push: Push, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit_all(push.0);
        Ok(())
    }
}

impl Receive<Order, u64> for Queue {
    type Reply = ();

    async fn receive(&mut self, order: Order, cx: &mut Context<u64>) -> Result<(), BoxError> {
        order.obey(cx)
    }
}

/// A queue, with what it logs.
pub(crate) async fn queue(name: &str) -> (ProducerHandle<Queue>, Log<String>) {
    let log = Log::new();
    let queue = Queue { log: log.clone() };
    let handle = stage::producer(queue).name(name).start().await.unwrap();
    (handle, log)
}

/// Logs all that happens to it. It handles a chunk when its gate has a permit for it.
pub(crate) struct Probe {
    pub(crate) log: Log<String>,
    pub(crate) gate: Option<Arc<Semaphore>>,
}

impl Probe {
    pub(crate) fn new() -> (Self, Log<String>) {
        let log = Log::new();
        let probe = Self {
            log: log.clone(),
            gate: None,
        };
        (probe, log)
    }

    pub(crate) fn gated() -> (Self, Log<String>, Arc<Semaphore>) {
        let (mut probe, log) = Self::new();
        let gate = Arc::new(Semaphore::new(0));
        probe.gate = Some(Arc::clone(&gate));
        (probe, log, gate)
    }
}

impl Consumer for Probe {
    type Event = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        from: &Subscription,
        _: &mut Context<Nothing>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("{} {events:?}", from.producer()));
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
            self.log.push("handled".to_owned());
        }
        Ok(())
    }

    async fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        _: &mut Context<Nothing>,
    ) -> Result<(), BoxError> {
        self.log.push(format!("subscribed {}", producer.producer()));
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        _: &mut Context<Nothing>,
    ) -> Result<(), BoxError> {
        self.log
            .push(format!("cancelled {}: {end}", producer.producer()));
        Ok(())
    }

    async fn terminate(&mut self, end: &End) {
        self.log.push(format!("terminated: {end}"));
    }
}

impl Receive<Order> for Probe {
    type Reply = ();

    async fn receive(&mut self, order: Order, cx: &mut Context<Nothing>) -> Result<(), BoxError> {
        order.obey(cx)
    }
}

/// Waits for a permit.
struct Hold;

impl Receive<Hold> for Probe {
    type Reply = ();

    async fn receive(&mut self, _: Hold, _: &mut Context<Nothing>) -> Result<(), BoxError> {
        let gate = self.gate.as_ref().unwrap();
        gate.acquire().await.unwrap().forget();
        Ok(())
    }
}

async fn counter(numbers: Range<u64>) -> ProducerHandle<Counter> {
    let (counter, _) = Counter::new(numbers);
    stage::producer(counter).start().await.unwrap()
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn a_stage_subscribes_at_start_and_at_run_time_and_is_told_before_the_first_event() {
    let (first, _) = queue("first").await;
    let (second, _) = queue("second").await;
    first.call(Push(0..2)).await.unwrap();
    second.call(Push(5..7)).await.unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe)
        .subscribe_to(first.output())
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed first", "first [0, 1]"]);
    probe.subscribe(&second.output()).unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed second", "second [5, 6]"]);
}

#[tokio::test(start_paused = true)]
async fn a_producer_is_told_of_a_consumer_and_of_its_cancellation_by_the_same_id() {
    let (queue, log) = queue("queue").await;
    let consumer = stage::consumer(Probe::new().0).start().await.unwrap();
    let first = consumer.subscribe(&queue.output()).unwrap();
    let second = consumer.subscribe(&queue.output()).unwrap();
    assert_ne!(first.id(), second.id());
    settle().await;
    assert!(first.cancel());
    settle().await;
    let (first, second) = (first.id(), second.id());
    let expected = [
        format!("subscribed {first}"),
        format!("subscribed {second}"),
        format!("cancelled {first}: ended"),
    ];
    assert_eq!(log.take(), expected);
    consumer.stop().await;
    settle().await;
    assert_eq!(log.take(), [format!("cancelled {second}: shut down")]);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_gets_all_events_of_several_producers_and_those_of_each_in_order() {
    let (recorder, chunks) = Recorder::new();
    let mut consumer = stage::consumer(recorder);
    for first in [0, 1_000, 2_000] {
        let output = counter(first..first + 777).await.output().max_demand(7);
        consumer = consumer.subscribe_to(output.cancel(Cancel::Transient));
    }
    let consumer = consumer.start().await.unwrap();
    let end = {
        let joining = consumer.clone();
        drop(consumer);
        settle().await;
        // All producers have ended, and it goes on.
        assert!(joining.end().is_none());
        joining.stop().await
    };
    assert!(!end.is_failed());
    let mut events = chunks.take().concat();
    for thousand in 0..3 {
        let of_one = events.iter().filter(|n| **n / 1_000 == thousand);
        assert!(of_one.is_sorted());
    }
    events.sort_unstable();
    let expected = (0..777).chain(1_000..1_777).chain(2_000..2_777);
    assert_eq!(events, expected.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn consumers_share_the_events_of_a_producer_and_no_event_comes_twice() {
    let counter = counter(0..10_000).await;
    let chunks = Log::new();
    let mut consumers = Vec::new();
    for _ in 0..4 {
        let chunks = chunks.clone();
        let consumer = stage::consumer(Recorder { chunks })
            .subscribe_to(counter.output().max_demand(10))
            .start();
        consumers.push(consumer.await.unwrap());
    }
    for consumer in &consumers {
        assert!(matches!(consumer.join().await, End::Normal));
    }
    let mut events = chunks.take().concat();
    events.sort_unstable();
    assert_eq!(events, (0..10_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn events_that_a_busy_consumer_has_asked_for_go_to_one_that_is_idle() {
    let counter = counter(0..100).await;
    let output = counter.output().max_demand(10).cancel(Cancel::Temporary);
    let (busy, log, gate) = Probe::gated();
    let busy = stage::consumer(busy).subscribe_to(output.clone());
    let busy = busy.start().await.unwrap();
    settle().await;
    let (recorder, chunks) = Recorder::new();
    let idle = stage::consumer(recorder).subscribe_to(output);
    let idle = idle.start().await.unwrap();
    settle().await;
    assert_eq!(chunks.take().concat(), (5..100).collect::<Vec<_>>());
    assert_eq!(log.take().last().unwrap(), "producer [0, 1, 2, 3, 4]");
    gate.add_permits(1);
    settle().await;
    assert!(busy.end().is_none() && idle.end().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_busy_producer_does_not_starve_another() {
    let (probe, log) = Probe::new();
    let mut consumer = stage::consumer(probe);
    for name in ["busy", "other"] {
        let busy = stage::from_iter(0..10_000_u64).name(name).start();
        consumer = consumer.subscribe_to(busy.await.unwrap().output().max_demand(10));
    }
    consumer.start().await.unwrap().join().await;
    let log = log.take();
    let turns = log.iter().filter(|entry| entry.contains('['));
    let of_other = turns.take(100).filter(|entry| entry.starts_with("other"));
    assert!((40..=60).contains(&of_other.count()));
}

#[tokio::test(start_paused = true)]
async fn resubscribing_ends_the_old_subscription_and_makes_a_new_one() {
    let (old, _) = queue("old").await;
    let (new, _) = queue("new").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let first = probe.subscribe(&old.output()).unwrap();
    settle().await;
    let second = probe.resubscribe(&first, &new.output()).unwrap();
    assert_ne!(first.id(), second.id());
    old.call(Push(0..1)).await.unwrap();
    new.call(Push(1..2)).await.unwrap();
    settle().await;
    let told = [
        "subscribed old",
        "subscribed new",
        "cancelled old: ended",
        "new [1]",
    ];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn resubscribing_makes_a_new_subscription_even_if_the_old_one_has_ended() {
    let (old, _) = queue("old").await;
    let (new, _) = queue("new").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let first = probe.subscribe(&old.output()).unwrap();
    first.cancel();
    settle().await;
    log.take();
    probe.resubscribe(&first, &new.output()).unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed new"]);
}

#[tokio::test(start_paused = true)]
async fn resubscribing_with_bad_options_leaves_the_old_subscription() {
    let (queue, _) = queue("queue").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let old = probe.subscribe(&queue.output()).unwrap();
    let refused = probe.resubscribe(&old, &queue.output().max_demand(0));
    assert!(matches!(refused, Err(SubscribeError::Invalid(_))));
    queue.call(Push(0..1)).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0]"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_cancelled_while_a_chunk_is_handled_ends_after_it_and_the_rest_goes_to_others()
 {
    let (queue, _) = queue("queue").await;
    let (probe, log, gate) = Probe::gated();
    let probe = stage::consumer(probe).start().await.unwrap();
    let output = queue.output().max_demand(4);
    let subscription = probe.subscribe(&output).unwrap();
    queue.call(Push(0..4)).await.unwrap();
    settle().await;
    subscription.cancel();
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0, 1]"]);
    gate.add_permits(1);
    settle().await;
    assert_eq!(log.take(), ["handled", "cancelled queue: ended"]);
    assert!(probe.end().is_none());
    let mut other = output.stream().unwrap();
    assert_eq!(other.next_chunk().await, Some(vec![2, 3]));
}

/// Cancels at its first event.
struct Once;

impl Consumer for Once {
    type Event = u64;

    async fn handle_events(
        &mut self,
        _: &mut Vec<u64>,
        from: &Subscription,
        _: &mut Context<Nothing>,
    ) -> Result<(), BoxError> {
        assert!(from.cancel());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_cancels_its_own_subscription_in_a_callback_and_goes_on() {
    let counter = counter(0..100).await;
    let once = stage::consumer(Once)
        .subscribe_to(counter.output().max_demand(1))
        .start()
        .await
        .unwrap();
    settle().await;
    assert!(once.end().is_none());
    assert_eq!(once.stats().received, 1);
    assert_eq!(counter.output().stream().unwrap().next().await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn cancelling_tells_whether_the_consumer_still_is() {
    let (queue, _) = queue("queue").await;
    let probe = stage::consumer(Probe::new().0).start().await.unwrap();
    let subscription = probe.subscribe(&queue.output()).unwrap();
    assert!(subscription.cancel());
    assert!(subscription.cancel());
    probe.stop().await;
    assert!(!subscription.cancel());
    assert!(!subscription.ask(1));
}

#[tokio::test(start_paused = true)]
async fn bad_options_are_errors_that_say_what_to_do() {
    let (queue, log) = queue("queue").await;
    let probe = stage::consumer(Probe::new().0).start().await.unwrap();
    let refused = |output| probe.subscribe(&output).unwrap_err().to_string();
    let output = || queue.output();
    let texts = [
        refused(output().max_demand(0)),
        refused(output().max_demand(1_000_001)),
        refused(output().max_demand(5).min_demand(5)),
    ];
    for (text, says) in texts.iter().zip([
        "max demand is 0: give at least 1",
        "is 1000001: give 1 to 1000000",
        "min demand 5 is not below max demand 5: give at most 4",
    ]) {
        assert!(text.contains(says), "{text}");
        assert!(text.starts_with("cannot subscribe"), "{text}");
    }
    assert!(output().max_demand(0).stream().is_err());
    settle().await;
    assert_eq!(log.take(), [""; 0], "nobody has subscribed");
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_cannot_start_says_all_that_is_wrong_and_subscribes_to_nothing() {
    let (queue, log) = queue("queue").await;
    let error = stage::producer_consumer(Forwarder)
        .name(" ")
        .mailbox(0)
        .buffer(stage::Buffer::wait(0))
        .subscribe_to(queue.output())
        .subscribe_to(queue.output().max_demand(0))
        .start()
        .await
        .unwrap_err();
    let StartError::Invalid(problems) = error else {
        panic!("{error}");
    };
    assert_eq!(problems.len(), 4, "{problems:?}");
    settle().await;
    let log = log.take();
    let subscribed = log.iter().filter(|entry| entry.starts_with("subscribed"));
    let cancelled = log.iter().filter(|entry| entry.starts_with("cancelled"));
    assert_eq!(subscribed.count(), cancelled.count());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_has_ended_cannot_subscribe_and_the_producer_hears_nothing_of_it() {
    let (queue, log) = queue("queue").await;
    let probe = stage::consumer(Probe::new().0).start().await.unwrap();
    probe.stop().await;
    let refused = probe.subscribe(&queue.output()).unwrap_err();
    assert!(matches!(refused, SubscribeError::ConsumerEnded));
    assert_eq!(
        refused.to_string(),
        "cannot subscribe a stage that has ended"
    );
    settle().await;
    assert_eq!(log.take(), [""; 0]);
}

async fn subscribed_to_an_ended_stage(
    order: Order,
    cancel: Cancel,
) -> (ConsumerHandle<Probe>, Vec<String>) {
    let (queue, _) = queue("queue").await;
    let _ = queue.call(order).await;
    queue.join().await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe)
        .subscribe_to(queue.output().cancel(cancel))
        .start()
        .await
        .unwrap();
    settle().await;
    (probe, log.take())
}

#[tokio::test(start_paused = true)]
async fn subscribing_to_a_stage_that_has_ended_ends_the_consumer_as_the_mode_says() {
    use Cancel::{Permanent, Temporary, Transient};
    use Order::{Fail, Stop};
    for (order, cancel, ends) in [
        (Stop, Permanent, true),
        (Stop, Transient, false),
        (Stop, Temporary, false),
        (Fail, Permanent, true),
        (Fail, Transient, true),
        (Fail, Temporary, false),
    ] {
        let (probe, log) = subscribed_to_an_ended_stage(order, cancel).await;
        assert_eq!(probe.end().is_some(), ends, "{order:?} {cancel:?}");
        let failed = probe.end().is_some_and(|end| end.is_failed());
        assert_eq!(failed, ends && order == Fail);
        assert_eq!(log[0], "subscribed queue");
        assert!(log[1].starts_with("cancelled queue: "), "{log:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_subscribes_to_a_stage_that_has_ended_gets_what_it_left() {
    let (queue, _) = queue("queue").await;
    queue.call(Push(0..3)).await.unwrap();
    queue.call(Order::Stop).await.unwrap();
    queue.join().await;
    let mut stream = queue.output().stream().unwrap();
    assert_eq!(stream.next_chunk().await, Some(vec![0, 1, 2]));
    assert_eq!(stream.next_chunk().await, None);
    assert!(matches!(stream.end(), Some(End::Normal)));
}

#[tokio::test(start_paused = true)]
async fn consumers_come_and_go_and_no_event_is_lost() {
    let counter = counter(0..20_000).await;
    let output = counter.output().max_demand(16).cancel(Cancel::Temporary);
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).start().await.unwrap();
    let mut subscription = consumer.subscribe(&output).unwrap();
    let mut stream = output.stream().unwrap();
    let mut streamed = Vec::new();
    // A stream is dropped with nothing in hand, a subscription at any moment.
    while counter.end().is_none() {
        streamed.extend(stream.next_chunk().await.unwrap_or_default());
        stream = output.stream().unwrap();
        subscription = consumer.resubscribe(&subscription, &output).unwrap();
    }
    drop(stream);
    settle().await;
    let mut events = chunks.take().concat();
    assert!(!events.is_empty() && !streamed.is_empty());
    events.extend(streamed);
    events.sort_unstable();
    assert_eq!(events, (0..20_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn events_do_not_wait_for_a_consumer_that_is_busy_with_a_message() {
    let (queue, _) = queue("queue").await;
    let (busy, _, gate) = Probe::gated();
    let busy = stage::consumer(busy)
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    let (other, log) = Probe::new();
    let _other = stage::consumer(other)
        .subscribe_to(queue.output().max_demand(10))
        .start()
        .await
        .unwrap();
    settle().await;
    busy.cast(Hold).await.unwrap();
    settle().await;
    queue.call(Push(0..2)).await.unwrap();
    settle().await;
    assert_eq!(log.take(), ["subscribed queue", "queue [0, 1]"]);
    gate.add_permits(1);
}

#[tokio::test(start_paused = true)]
async fn events_do_not_wait_for_a_stage_that_nobody_asks_any_more() {
    let (queue, _) = queue("queue").await;
    let forwarder = stage::producer_consumer(Forwarder)
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let asked = probe.subscribe(&forwarder.output()).unwrap();
    settle().await;
    asked.cancel();
    settle().await;
    log.take();
    // What was asked of it was once asked, so it may have that much; the rest is for others.
    queue.call(Push(0..5_000)).await.unwrap();
    probe.subscribe(&queue.output().max_demand(2)).unwrap();
    settle().await;
    let direct = log.take().len() - 1;
    assert_eq!(forwarder.stats().received as usize + direct, 5_000);
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_stream_that_holds_a_chunk() {
    let counter = counter(0..20).await;
    let mut idle = counter.output().max_demand(10).stream().unwrap();
    assert_eq!(idle.next().await, Some(0));
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(counter.output())
        .start()
        .await
        .unwrap();
    settle().await;
    assert!(consumer.end().is_some());
    assert_eq!(chunks.take().concat(), (5..20).collect::<Vec<_>>());
    assert_eq!(idle.next_chunk().await, Some(vec![1, 2, 3, 4]));
}

#[tokio::test(start_paused = true)]
async fn events_do_not_wait_for_a_stream_whose_next_was_dropped() {
    let (queue, _) = queue("queue").await;
    let mut dropped = queue.output().stream().unwrap();
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).subscribe_to(queue.output().max_demand(10));
    let _probe = probe.start().await.unwrap();
    let next = futures_util::FutureExt::now_or_never(dropped.next());
    assert!(next.is_none());
    settle().await;
    queue.call(Push(0..2)).await.unwrap();
    settle().await;
    assert_eq!(log.take().last().unwrap(), "queue [0, 1]");
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_nobody_can_reach_is_shut_down() {
    let (queue, log) = queue("queue").await;
    let output = queue.output();
    drop(queue);
    settle().await;
    let stream = output.stream().unwrap();
    drop(output);
    settle().await;
    assert_eq!(tasks(), 1, "the stream reaches it");
    drop(stream);
    settle().await;
    assert_eq!(tasks(), 0);
    assert_eq!(log.take().last().unwrap(), "terminated: shut down");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_nothing_can_reach_ends() {
    let (queue, _) = queue("queue").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe).start().await.unwrap();
    let subscription = probe.subscribe(&queue.output()).unwrap();
    drop(probe);
    settle().await;
    log.take();
    // It keeps its subscription, and what it is subscribed to.
    assert_eq!(tasks(), 2);
    assert!(subscription.cancel());
    settle().await;
    assert_eq!(log.take(), ["cancelled queue: ended", "terminated: ended"]);
    assert!(!subscription.cancel());
    drop(queue);
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_nobody_holds_runs_to_its_end_and_leaves_no_task() {
    let counter = counter(0..5_000).await;
    let forwarder = stage::producer_consumer(Forwarder).subscribe_to(counter.output());
    let forwarder = forwarder.start().await.unwrap();
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder)
        .subscribe_to(forwarder.output())
        .start();
    drop(consumer.await.unwrap());
    drop((counter, forwarder));
    assert_eq!(tasks(), 3);
    while tasks() > 0 {
        settle().await;
    }
    assert_eq!(chunks.take().concat(), (0..5_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_consumer_ends_all_stages_behind_which_nobody_is_left() {
    let (queue, _) = queue("queue").await;
    let forwarder = stage::producer_consumer(Forwarder).subscribe_to(queue.output());
    let forwarder = forwarder.start().await.unwrap();
    let probe = stage::consumer(Probe::new().0)
        .subscribe_to(forwarder.output())
        .start()
        .await
        .unwrap();
    drop((queue, forwarder));
    settle().await;
    assert_eq!(tasks(), 3);
    probe.stop().await;
    settle().await;
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_fails_to_start_leaves_no_task_and_no_subscription() {
    struct Broken;

    impl Consumer for Broken {
        type Event = u64;

        async fn handle_events(
            &mut self,
            _: &mut Vec<u64>,
            _: &Subscription,
            _: &mut Context<Nothing>,
        ) -> Result<(), BoxError> {
            Ok(())
        }

        async fn init(&mut self, _: &mut Context<Nothing>) -> Result<(), BoxError> {
            Err("no disk".into())
        }
    }

    let (queue, log) = queue("queue").await;
    let error = stage::consumer(Broken)
        .name("broken")
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("broken") && text.contains("no disk"),
        "{text}"
    );
    settle().await;
    assert_eq!(log.take().len(), 2, "subscribed and cancelled");
    assert_eq!(tasks(), 1);
}
