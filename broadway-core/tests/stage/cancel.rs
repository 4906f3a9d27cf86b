//! The effect of a producer's end on its consumers, by mode.

mod stopping;

use std::convert::Infallible;

use broadway_core::{
    BoxError,
    stage::{self, Cancel, Consumer, Context, End, ProducerConsumer, ProducerHandle, Subscription},
};

use crate::{
    common::{Counter, Forwarder, Log, Recorder, settle},
    subscriptions::{Order, Probe, Push, Queue, queue},
};

/// How a producer ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Stop,
    ShutDown,
    Abort,
    Fail,
    Panic,
}

impl Ending {
    const ALL: [Self; 5] = [
        Self::Stop,
        Self::ShutDown,
        Self::Abort,
        Self::Fail,
        Self::Panic,
    ];

    async fn end(self, queue: &ProducerHandle<Queue>) -> End {
        match self {
            Self::Stop => drop(queue.call(Order::Stop).await),
            Self::Fail => drop(queue.call(Order::Fail).await),
            Self::Panic => drop(queue.call(Order::Panic).await),
            Self::ShutDown => drop(queue.stop().await),
            Self::Abort => queue.abort(),
        }
        queue.join().await
    }

    fn fails(self) -> bool {
        matches!(self, Self::Fail | Self::Panic)
    }

    /// The table of [`Cancel`].
    fn ends_a_consumer(self, cancel: Cancel) -> bool {
        match cancel {
            Cancel::Permanent => true,
            Cancel::Transient => self.fails(),
            Cancel::Temporary => false,
        }
    }
}

const MODES: [Cancel; 3] = [Cancel::Permanent, Cancel::Transient, Cancel::Temporary];

/// Passes on, and logs as a [`Probe`] does.
struct Between(Log<String>);

impl ProducerConsumer for Between {
    type In = u64;
    type Out = u64;

    async fn handle_events(
        &mut self,
        events: &mut Vec<u64>,
        _: &Subscription,
        cx: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0.push(format!("between {events:?}"));
        cx.emit_all(events.drain(..));
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        _: &mut Context<u64>,
    ) -> Result<(), BoxError> {
        self.0
            .push(format!("between cancelled {}: {end}", producer.producer()));
        Ok(())
    }

    async fn terminate(&mut self, end: &End) {
        self.0.push(format!("between terminated: {end}"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_producer_ends_a_consumer_by_its_mode() {
    for ending in Ending::ALL {
        for cancel in MODES {
            let (queue, _) = queue("queue").await;
            let (probe, log) = Probe::new();
            let probe = stage::consumer(probe)
                .subscribe_to(queue.output().cancel(cancel))
                .start()
                .await
                .unwrap();
            queue.call(Push(0..2)).await.unwrap();
            let end = ending.end(&queue).await;
            assert_eq!(end.is_failed(), ending.fails());
            settle().await;
            let case = format!("{ending:?} {cancel:?}");
            let mut told = vec![
                "subscribed queue".to_owned(),
                "queue [0, 1]".to_owned(),
                format!("cancelled queue: {end}"),
            ];
            if ending.ends_a_consumer(cancel) {
                told.push(format!("terminated: {end}"));
            }
            assert_eq!(log.take(), told, "{case}");
            let ended = probe.end().map(|end| end.to_string());
            let expected = ending.ends_a_consumer(cancel).then(|| end.to_string());
            assert_eq!(ended, expected, "{case}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_producer_ends_a_producer_consumer_by_its_mode() {
    for ending in Ending::ALL {
        for cancel in MODES {
            let (queue, _) = queue("queue").await;
            let log = Log::new();
            let between = stage::producer_consumer(Between(log.clone()))
                .subscribe_to(queue.output().cancel(cancel))
                .start()
                .await
                .unwrap();
            let mut stream = between.output().stream().unwrap();
            settle().await;
            queue.call(Push(0..2)).await.unwrap();
            let end = ending.end(&queue).await;
            settle().await;
            let case = format!("{ending:?} {cancel:?}");
            let mut told = vec![
                "between [0, 1]".to_owned(),
                format!("between cancelled queue: {end}"),
            ];
            if ending.ends_a_consumer(cancel) {
                told.push(format!("between terminated: {end}"));
            }
            assert_eq!(log.take(), told, "{case}");
            assert_eq!(stream.next_chunk().await, Some(vec![0, 1]));
            if ending.ends_a_consumer(cancel) {
                assert_eq!(stream.next().await, None);
                assert_eq!(stream.end().unwrap().to_string(), end.to_string(), "{case}");
            } else {
                assert!(between.end().is_none(), "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_consumer_without_demand_sees_the_end_of_its_producer() {
    for ending in Ending::ALL {
        let (queue, _) = queue("queue").await;
        let forwarder = stage::producer_consumer(Forwarder)
            .subscribe_to(queue.output())
            .start()
            .await
            .unwrap();
        settle().await;
        let end = ending.end(&queue).await;
        settle().await;
        let forwarded = forwarder.end().expect("it has ended");
        assert_eq!(forwarded.to_string(), end.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_consumer_without_demand_does_not_end_before_it_has_handled_all_events() {
    let (queue, _) = queue("queue").await;
    let forwarder = stage::producer_consumer(Forwarder)
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    queue.call(Push(0..3)).await.unwrap();
    Ending::Stop.end(&queue).await;
    settle().await;
    assert!(forwarder.end().is_none());
    let mut stream = forwarder.output().stream().unwrap();
    assert_eq!(stream.next_chunk().await, Some(vec![0, 1, 2]));
    assert_eq!(stream.next_chunk().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_failure_reaches_all_stages_that_end_of_it_with_stage_and_reason() {
    let (queue, _) = queue("the queue").await;
    let forwarder = stage::producer_consumer(Forwarder)
        .name("forwarder")
        .subscribe_to(queue.output())
        .start()
        .await
        .unwrap();
    let probe = stage::consumer(Probe::new().0)
        .subscribe_to(forwarder.output().cancel(Cancel::Transient))
        .start()
        .await
        .unwrap();
    Ending::Fail.end(&queue).await;
    for end in [forwarder.join().await, probe.join().await] {
        let failure = end.failure().expect("it failed");
        assert_eq!(failure.stage(), "the queue");
        assert!(failure.to_string().contains("told to fail"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_runs_down_a_chain_in_order_behind_all_events() {
    let log = Log::new();
    let (queue, _) = queue("queue").await;
    let between = stage::producer_consumer(Between(log.clone())).name("middle");
    let between = between.subscribe_to(queue.output().max_demand(2));
    let between = between.start().await.unwrap();
    let probe = Probe {
        log: log.clone(),
        gate: None,
    };
    let probe = stage::consumer(probe).subscribe_to(between.output().max_demand(2));
    let probe = probe.start().await.unwrap();
    settle().await;
    queue.call(Push(0..2)).await.unwrap();
    queue.call(Order::Stop).await.unwrap();
    probe.join().await;
    let told = log.take();
    let at = |entry: &str| told.iter().position(|told| told == entry).expect(entry);
    let order = [
        at("between [0]"),
        at("between [1]"),
        at("between cancelled queue: ended"),
        at("between terminated: ended"),
        at("cancelled middle: ended"),
        at("terminated: ended"),
    ];
    assert!(order.is_sorted(), "{told:?}");
    assert!(at("middle [1]") < at("cancelled middle: ended"));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_is_stopped_at_its_head_handles_all_that_was_emitted() {
    let (queue, _) = queue("queue").await;
    // More than all of them ask for: most waits in buffers.
    queue.call(Push(0..10_000)).await.unwrap();
    let mut output = queue.output().max_demand(10);
    for _ in 0..3 {
        let forwarder = stage::producer_consumer(Forwarder).subscribe_to(output);
        output = forwarder.start().await.unwrap().output().max_demand(10);
    }
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).subscribe_to(output);
    let consumer = consumer.start().await.unwrap();
    queue.stop().await;
    assert!(matches!(consumer.join().await, End::Shutdown));
    assert_eq!(chunks.take().concat(), (0..10_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn events_that_a_producer_emitted_before_it_failed_are_handled() {
    let (queue, _) = queue("queue").await;
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).subscribe_to(queue.output().max_demand(10));
    queue.call(Push(0..1_000)).await.unwrap();
    Ending::Fail.end(&queue).await;
    let consumer = consumer.start().await.unwrap();
    assert!(consumer.join().await.is_failed());
    assert_eq!(chunks.take().concat(), (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn of_producers_of_different_modes_only_one_that_is_needed_ends_the_consumer() {
    let (needed, _) = queue("needed").await;
    let (finite, _) = queue("finite").await;
    let (spare, _) = queue("spare").await;
    let (probe, log) = Probe::new();
    let probe = stage::consumer(probe)
        .subscribe_to(needed.output())
        .subscribe_to(finite.output().cancel(Cancel::Transient))
        .subscribe_to(spare.output().cancel(Cancel::Temporary))
        .start()
        .await
        .unwrap();
    Ending::Panic.end(&spare).await;
    Ending::Stop.end(&finite).await;
    settle().await;
    assert!(probe.end().is_none());
    Ending::Stop.end(&needed).await;
    assert!(matches!(probe.join().await, End::Normal));
    let ended = log.take().split_off(3);
    assert!(ended[0].starts_with("cancelled spare: stage spare"));
    assert_eq!(
        ended[1..],
        [
            "cancelled finite: ended",
            "cancelled needed: ended",
            "terminated: ended"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_ends_leaves_the_events_of_its_other_producers_to_others() {
    let (first, _) = queue("first").await;
    let (second, log) = queue("second").await;
    let (probe, _, gate) = Probe::gated();
    let probe = stage::consumer(probe)
        .subscribe_to(first.output())
        .subscribe_to(second.output().max_demand(2))
        .start()
        .await
        .unwrap();
    first.call(Push(0..1)).await.unwrap();
    settle().await;
    second.call(Push(5..7)).await.unwrap();
    Ending::Fail.end(&first).await;
    // One permit: it handles its current chunk, and is stopped.
    let stopping = tokio::spawn({
        let probe = probe.clone();
        async move { probe.stop().await }
    });
    settle().await;
    gate.add_permits(1);
    stopping.await.unwrap();
    let mut stream = second.output().stream().unwrap();
    assert_eq!(stream.next_chunk().await, Some(vec![5, 6]));
    assert!(log.take()[1].ends_with("shut down"));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_is_unmoved_by_the_end_of_a_subscription_that_it_cancelled() {
    for cancel in MODES {
        let (queue, _) = queue("queue").await;
        let (probe, log) = Probe::new();
        let probe = stage::consumer(probe).start().await.unwrap();
        let subscription = probe.subscribe(&queue.output().cancel(cancel)).unwrap();
        subscription.cancel();
        settle().await;
        Ending::Fail.end(&queue).await;
        settle().await;
        assert!(probe.end().is_none());
        assert_eq!(
            log.take(),
            ["subscribed queue", "cancelled queue: ended"],
            "told once"
        );
    }
}

/// Stops, or fails, when a subscription ends.
struct Touchy(Order);

impl Consumer for Touchy {
    type Event = u64;

    async fn handle_events(
        &mut self,
        _: &mut Vec<u64>,
        _: &Subscription,
        _: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    async fn handle_cancel(
        &mut self,
        _: &Subscription,
        _: &End,
        cx: &mut Context<Infallible>,
    ) -> Result<(), BoxError> {
        self.0.obey(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn handle_cancel_may_end_a_stage_that_its_mode_would_let_go_on() {
    for (order, fails) in [
        (Order::Stop, false),
        (Order::Fail, true),
        (Order::Panic, true),
    ] {
        let (queue, _) = queue("queue").await;
        let touchy = stage::consumer(Touchy(order))
            .name("touchy")
            .subscribe_to(queue.output().cancel(Cancel::Temporary))
            .start()
            .await
            .unwrap();
        queue.stop().await;
        let end = touchy.join().await;
        assert_eq!(end.is_failed(), fails);
        assert!(end.failure().is_none_or(|f| f.stage() == "touchy"));
        assert!(fails || matches!(end, End::Normal));
    }
}

#[tokio::test(start_paused = true)]
async fn consumers_end_together_when_all_events_are_handled() {
    let (counter, _) = Counter::new(0..1_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let mut consumers = Vec::new();
    let chunks = Log::new();
    for _ in 0..5 {
        let chunks = chunks.clone();
        let consumer = stage::consumer(Recorder { chunks }).subscribe_to(counter.output());
        consumers.push(consumer.start().await.unwrap());
    }
    for consumer in consumers {
        assert!(matches!(consumer.join().await, End::Normal));
    }
    assert_eq!(chunks.take().concat().len(), 1_000);
}
