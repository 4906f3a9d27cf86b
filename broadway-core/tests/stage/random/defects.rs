//! One test for each defect that was found.

use std::convert::Infallible;
use std::time::Duration;

use broadway_core::{
    BoxError,
    machine::{
        dispatch::{Partition, PartitionName},
        restart::RestartPolicy,
    },
    stage::{
        self, Buffer, Consumer, Context, EventStream, Producer, ProducerHandle, Receive,
        Subscription, SubscriptionId,
    },
};
use futures_util::FutureExt;

use crate::common::{Counter, Forwarder, Log, settle};

/// Emits the numbers that it is sent, and logs its callbacks.
struct ByHand(Log<RecordedEvent>);

#[derive(Debug, PartialEq, Eq)]
enum RecordedEvent {
    Demand(usize),
    Subscribed(SubscriptionId),
    Cancelled(SubscriptionId),
    Discarded { demand: usize },
}

struct Emit(Vec<u64>);
struct Fail;

impl Producer for ByHand {
    type Event = u64;

    async fn handle_demand(&mut self, demand: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        self.0.push(RecordedEvent::Demand(demand));
        Ok(())
    }

    async fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.push(RecordedEvent::Subscribed(consumer));
        Ok(())
    }

    async fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        _: &stage::End,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.push(RecordedEvent::Cancelled(consumer));
        Ok(())
    }

    async fn handle_discarded(
        &mut self,
        _: &mut Vec<u64>,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        let demand = cx.demand();
        self.0.push(RecordedEvent::Discarded { demand });
        cx.emit(99);
        Ok(())
    }
}

impl Receive<Emit, u64> for ByHand {
    type Reply = ();

    async fn receive(&mut self, Emit(events): Emit, cx: &mut Context<u64>) -> Result<(), BoxError> {
        cx.emit_all(events);
        Ok(())
    }
}

impl Receive<Fail, u64> for ByHand {
    type Reply = ();

    async fn receive(&mut self, _: Fail, _: &mut Context<u64>) -> Result<(), BoxError> {
        Err("as told".into())
    }
}

async fn by_hand() -> (ProducerHandle<ByHand>, Log<RecordedEvent>) {
    let log = Log::new();
    let again = log.clone();
    let by_hand = stage::producer(ByHand(log.clone()))
        .restart(RestartPolicy::default(), move || ByHand(again.clone()))
        .start()
        .await
        .unwrap();
    (by_hand, log)
}

/// Returns the events that are ready.
fn ready(stream: &mut EventStream<u64>) -> Vec<u64> {
    std::iter::from_fn(|| stream.next().now_or_never().flatten()).collect()
}

#[tokio::test(start_paused = true)]
async fn events_for_earlier_demand_emitted_while_it_accumulates_are_sent_when_it_is_forwarded() {
    let (by_hand, log) = by_hand().await;
    let mut stream = by_hand
        .output()
        .max_demand(5)
        .min_demand(0)
        .stream()
        .unwrap();
    settle().await;
    by_hand.accumulate_demand();
    by_hand.call(Emit(vec![1, 2, 3])).await.unwrap();
    assert!(ready(&mut stream).is_empty());
    by_hand.forward_demand();
    settle().await;
    assert_eq!(ready(&mut stream), [1, 2, 3]);
    by_hand.call(Emit(vec![4, 5, 6])).await.unwrap();
    assert_eq!(by_hand.stats().buffered, 1, "two of five were left");
    let demands = log.take();
    assert!(
        matches!(
            demands[..],
            [RecordedEvent::Subscribed(_), RecordedEvent::Demand(5)]
        ),
        "{demands:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn demand_whose_events_were_discarded_while_it_accumulated_is_reported_again() {
    let log = Log::new();
    let by_hand = stage::producer(ByHand(log.clone())).buffer(Buffer::keep_first(1));
    let by_hand = by_hand.start().await.unwrap();
    let _stream = by_hand.output().max_demand(5).stream().unwrap();
    settle().await;
    by_hand.accumulate_demand();
    by_hand.call(Emit(vec![1, 2, 3])).await.unwrap();
    log.take();
    by_hand.forward_demand();
    settle().await;
    // The two, and one that was emitted for them.
    assert_eq!(log.take(), [RecordedEvent::Demand(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_restarted_while_demand_accumulates_gets_it_later() {
    let (by_hand, log) = by_hand().await;
    let _stream = by_hand.output().max_demand(5).stream().unwrap();
    settle().await;
    by_hand.accumulate_demand();
    by_hand.call(Fail).await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(60)).await;
    log.take();
    by_hand.forward_demand();
    settle().await;
    assert_eq!(log.take(), [RecordedEvent::Demand(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_chunk_in_hand_does_not_keep_others_from_the_end() {
    let numbers = stage::from_iter(0..2).start().await.unwrap();
    let output = numbers.output().max_demand(2).min_demand(0);
    let (mut first, mut second) = (output.stream().unwrap(), output.stream().unwrap());
    assert_eq!(first.next().await, Some(0));
    settle().await;
    assert_eq!(second.next().now_or_never(), Some(None));
    assert_eq!(ready(&mut first), [1]);
}

#[tokio::test(start_paused = true)]
async fn events_lost_by_a_dispatcher_that_panics_are_asked_for_again() {
    let dispatcher = Partition::new(1, |&number: &u64| {
        assert!(number >= 100, "no such number");
        Some(0)
    });
    let (counter, _) = Counter::new(0..100);
    let counter = stage::producer(counter)
        .dispatcher(dispatcher)
        .restart(RestartPolicy::default(), || Counter::new(100..200).0)
        .start()
        .await
        .unwrap();
    let output = counter.output_at(PartitionName(0)).max_demand(10);
    let mut stream = output.stream().unwrap();
    assert_eq!(stream.next().await, Some(100));
}

#[tokio::test(start_paused = true)]
async fn events_that_the_dispatcher_drops_count_also_if_they_were_buffered() {
    let odd = Partition::new(1, |&number: &u64| (number % 2 == 1).then_some(0));
    let stage = stage::producer(ByHand(Log::new())).dispatcher(odd);
    let by_hand = stage.start().await.unwrap();
    by_hand.call(Emit(vec![1, 2, 3, 4])).await.unwrap();
    let mut stream = by_hand.output_at(PartitionName(0)).stream().unwrap();
    settle().await;
    assert_eq!(ready(&mut stream), [1, 3]);
    assert_eq!(by_hand.stats().dropped, 2);
    assert_eq!(by_hand.stats().buffered, 0);
}

/// Cancels a subscription at its first event, or waits for the duration of a message.
struct Canceller(Log<bool>);

impl Consumer for Canceller {
    type Event = u64;

    async fn handle_events(
        &mut self,
        _: &mut Vec<u64>,
        from: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.push(from.cancel());
        Ok(())
    }
}

impl Receive<Duration> for Canceller {
    type Reply = ();

    async fn receive(
        &mut self,
        wait: Duration,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_cancelled_and_reported_also_without_handles() {
    let (by_hand, log) = by_hand().await;
    let output = by_hand.output().max_demand(1);
    by_hand.call(Emit(vec![1])).await.unwrap();
    drop(by_hand);
    let cancelled = Log::new();
    let canceller = stage::consumer(Canceller(cancelled.clone()));
    drop(
        canceller
            .subscribe_to(output.clone())
            .start()
            .await
            .unwrap(),
    );
    settle().await;
    assert_eq!(cancelled.take(), [true]);
    let told = log.take();
    let RecordedEvent::Subscribed(id) = told[0] else {
        panic!("{told:?}");
    };
    assert!(told.contains(&RecordedEvent::Cancelled(id)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_busy_keeps_no_events_from_others() {
    let (by_hand, _) = by_hand().await;
    let busy = stage::consumer(Canceller(Log::new()));
    let busy = busy.subscribe_to(by_hand.output()).start().await.unwrap();
    settle().await;
    let mut idle = by_hand.output().max_demand(5).stream().unwrap();
    busy.cast(Duration::from_secs(60)).await.unwrap();
    settle().await;
    assert!(ready(&mut idle).is_empty());
    let next = tokio::spawn(async move { idle.next().await });
    settle().await;
    by_hand.call(Emit(vec![1])).await.unwrap();
    settle().await;
    assert_eq!(next.now_or_never().map(Result::unwrap), Some(Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_waited_for_any_more_keeps_no_events_from_others() {
    let (by_hand, _) = by_hand().await;
    let mut fickle = by_hand.output().max_demand(10).stream().unwrap();
    let mut patient = by_hand.output().max_demand(5).stream().unwrap();
    assert_eq!(fickle.next().now_or_never(), None);
    let next = tokio::spawn(async move { patient.next().await });
    settle().await;
    by_hand.call(Emit(vec![1])).await.unwrap();
    settle().await;
    assert_eq!(next.now_or_never().map(Result::unwrap), Some(Some(1)));
}

/// Asks itself again whenever it is asked, many times.
struct Insatiable {
    asks: Option<Subscription>,
    left: usize,
    left_at_message: Log<usize>,
}

impl Producer for Insatiable {
    type Event = u64;

    async fn handle_demand(&mut self, _: usize, _: &mut Context<u64>) -> Result<(), BoxError> {
        if let (Some(asks), true) = (&self.asks, self.left > 0) {
            self.left -= 1;
            asks.ask(1);
        }
        Ok(())
    }
}

impl Receive<Subscription, u64> for Insatiable {
    type Reply = ();

    async fn receive(&mut self, asks: Subscription, _: &mut Context<u64>) -> Result<(), BoxError> {
        asks.ask(1);
        self.asks = Some(asks);
        Ok(())
    }
}

impl Receive<(), u64> for Insatiable {
    type Reply = ();

    async fn receive(&mut self, (): (), _: &mut Context<u64>) -> Result<(), BoxError> {
        self.left_at_message.push(self.left);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_asked_without_end_receives_messages_all_the_same() {
    let left_at_message = Log::new();
    let insatiable = Insatiable {
        asks: None,
        left: 10_000,
        left_at_message: left_at_message.clone(),
    };
    let insatiable = stage::producer(insatiable).start().await.unwrap();
    let consumer = stage::consumer(Canceller(Log::new()))
        .start()
        .await
        .unwrap();
    let asks = consumer.subscribe(&insatiable.output().manual()).unwrap();
    insatiable.cast(asks).await.unwrap();
    insatiable.cast(()).await.unwrap();
    settle().await;
    let left = left_at_message.take();
    assert!(left[0] > 9_000, "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stage_in_the_middle_sees_the_end_also_without_demand() {
    let numbers = stage::from_iter(0..0).start().await.unwrap();
    let forwarder = stage::producer_consumer(Forwarder).subscribe_to(numbers.output());
    let forwarder = forwarder.start().await.unwrap();
    let mut stream = forwarder.output().manual().stream().unwrap();
    let next = tokio::time::timeout(Duration::from_secs(1), stream.next());
    assert_eq!(next.await, Ok(None));
    assert!(!forwarder.join().await.is_failed());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_discards_has_sent_the_events_asked_for() {
    let log = Log::new();
    let by_hand = stage::producer(ByHand(log.clone())).buffer(Buffer::keep_first(1));
    let by_hand = by_hand.start().await.unwrap();
    let _stream = by_hand.output().max_demand(2).stream().unwrap();
    settle().await;
    by_hand.call(Emit(vec![1, 2, 3, 4])).await.unwrap();
    assert_eq!(
        log.take().last(),
        Some(&RecordedEvent::Discarded { demand: 0 })
    );
}

/// Emits two events too many, and stops.
struct Overflowing;

impl Producer for Overflowing {
    type Event = u64;

    async fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        cx.emit_all(0..demand as u64 + 2);
        cx.stop();
        Ok(())
    }

    async fn handle_discarded(
        &mut self,
        _: &mut Vec<u64>,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        cx.emit(99);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn events_emitted_by_a_last_handle_discarded_are_sent_before_the_end() {
    let overflowing = stage::producer(Overflowing).buffer(Buffer::keep_last(1));
    let overflowing = overflowing.start().await.unwrap();
    let mut stream = overflowing.output().max_demand(1).stream().unwrap();
    assert!(!overflowing.join().await.is_failed());
    assert_eq!(ready(&mut stream), [0, 99]);
    assert_eq!(overflowing.stats().emitted, 4);
    assert_eq!(overflowing.stats().discarded, 2);
}
