//! Producers that have messages at once: processors call them themselves, and nothing else changes.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    BoxError, Delivery, Message, NoopAcknowledger, OpenContext, Pipeline, Processors, Produced,
    Source, SourceProducer, handler_fn,
    testing::{Collector, Recorder, drained},
};
use tokio::task;

use crate::common::{SECOND, Script, Wait, settle_down};

/// What one call of `produce` does.
#[derive(Clone, Copy)]
enum Call {
    /// Delivers this many messages, as far as demand allows, without waiting.
    Deliver(usize),
    /// Waits, and then delivers one.
    DeliverAfter(Duration),
    Fail,
    Panic,
    End,
}

/// Acts as `script` says, by producer and call. Messages are numbers: 1,000,000 × producer + place.
#[derive(Clone)]
struct Scripted {
    script: Arc<dyn Fn(usize, usize) -> Call + Send + Sync>,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    calls: AtomicUsize,
    openings: AtomicUsize,
    /// The tasks that called `produce`.
    tasks: Mutex<Vec<Option<task::Id>>>,
}

struct ScriptedProducer {
    source: Scripted,
    producer: usize,
    calls: usize,
    delivered: u64,
}

impl Scripted {
    fn new(script: impl Fn(usize, usize) -> Call + Send + Sync + 'static) -> Self {
        Self {
            script: Arc::new(script),
            log: Arc::default(),
        }
    }

    fn calls(&self) -> usize {
        self.log.calls.load(Ordering::Relaxed)
    }
}

impl Source for Scripted {
    type Producer = ScriptedProducer;

    async fn open(&self, cx: &OpenContext) -> Result<ScriptedProducer, BoxError> {
        self.log.openings.fetch_add(1, Ordering::Relaxed);
        Ok(ScriptedProducer {
            source: self.clone(),
            producer: cx.producer(),
            calls: 0,
            delivered: 0,
        })
    }
}

impl SourceProducer for ScriptedProducer {
    type Item = u64;
    type Acknowledger = NoopAcknowledger;

    fn acknowledger(&self) -> Arc<NoopAcknowledger> {
        Arc::new(NoopAcknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<u64, ()>>,
    ) -> Result<Produced, BoxError> {
        let Scripted { script, log } = &self.source;
        let call = script(self.producer, self.calls);
        log.calls.fetch_add(1, Ordering::Relaxed);
        log.tasks.lock().unwrap().push(task::try_id());
        let count = match call {
            Call::Deliver(count) => count.min(demand.get()),
            Call::DeliverAfter(wait) => {
                tokio::time::sleep(wait).await;
                1
            }
            Call::Fail => {
                self.calls += 1;
                return Err("connection lost".into());
            }
            Call::Panic => panic!("a defect of the source"),
            Call::End => return Ok(Produced::End),
        };
        // After the wait: a call that was dropped counts for nothing.
        self.calls += 1;
        for _ in 0..count {
            let number = 1_000_000 * self.producer as u64 + self.delivered;
            out.push(Delivery::new(number, ()));
            self.delivered += 1;
        }
        Ok(Produced::More)
    }
}

/// Delivers up to ten messages in each of 100 calls, and ends.
fn thousand(_producer: usize, call: usize) -> Call {
    if call < 100 {
        Call::Deliver(10)
    } else {
        Call::End
    }
}

#[tokio::test(start_paused = true)]
async fn processors_call_a_producer_that_has_messages_at_once() {
    let (source, handlers) = (Scripted::new(thousand), Collector::new());
    let handler = handler_fn({
        let handlers = handlers.clone();
        move |_: &mut Message<u64>| {
            handlers.push(task::try_id());
            Ok(())
        }
    });
    let topology = Pipeline::new(source.clone(), handler)
        .start()
        .await
        .unwrap();
    assert!(topology.wait().await.unwrap().done > 900);
    let handlers = handlers.all();
    let tasks = source.log.tasks.lock().unwrap();
    let by_processors = tasks.iter().filter(|task| handlers.contains(task)).count();
    assert!(by_processors >= 90, "{by_processors} of {}", tasks.len());
}

#[tokio::test(start_paused = true)]
async fn one_processor_handles_the_messages_of_a_producer_in_their_order() {
    let handled = Collector::new();
    let handler = handler_fn({
        let handled = handled.clone();
        move |message: &mut Message<u64>| {
            handled.push(*message.data());
            Ok(())
        }
    });
    // Alternates between messages at once and messages that come late.
    let source = Scripted::new(|_, call| match call {
        300.. => Call::End,
        _ if call % 7 == 3 => Call::DeliverAfter(Duration::from_millis(5)),
        _ => Call::Deliver(call % 5 + 1),
    });
    let pipeline = Pipeline::new(source, handler).processors(Processors::new(1));
    let topology = pipeline.start().await.unwrap();
    let done = topology.wait().await.unwrap().done;
    assert_eq!(handled.all(), (0..done).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn all_producers_that_have_messages_have_their_turn() {
    let counts = Collector::new();
    let handler = handler_fn({
        let counts = counts.clone();
        move |message: &mut Message<u64>| {
            counts.push(*message.data() / 1_000_000);
            Ok(())
        }
    });
    let source = Scripted::new(|_, _| Call::Deliver(usize::MAX));
    let pipeline = Pipeline::new(source, handler).producers(3);
    let topology = pipeline.processors(Processors::new(1)).start();
    let topology = topology.await.unwrap();
    while counts.len() < 30_000 {
        task::yield_now().await;
    }
    drained(&topology).await;
    let counts = counts.all();
    for producer in 0..3 {
        let share = counts.iter().filter(|of| **of == producer).count();
        assert!(share >= counts.len() / 4, "{share} of {}", counts.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_always_has_messages_leaves_one_that_waits_its_turn() {
    let late = Collector::new();
    let handler = handler_fn({
        let late = late.clone();
        move |message: &mut Message<u64>| {
            if *message.data() >= 1_000_000 {
                late.push(*message.data());
            }
            Ok(())
        }
    });
    let source = Scripted::new(|producer, _| match producer {
        0 => Call::Deliver(1),
        _ => Call::DeliverAfter(Duration::from_millis(1)),
    });
    let pipeline = Pipeline::new(source, handler).producers(2);
    let topology = pipeline.processors(Processors::new(1)).start();
    let topology = topology.await.unwrap();
    while late.len() < 10 {
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_topology_calls_no_producer() {
    let source = Scripted::new(|_, _| Call::Deliver(1));
    let topology = Pipeline::new(source.clone(), Script::<u64>::new())
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    while source.calls() < 100 {
        task::yield_now().await;
    }
    topology.pause();
    let calls = source.calls();
    settle_down().await;
    assert_eq!(source.calls(), calls, "not once");
    topology.resume();
    while source.calls() < calls + 100 {
        task::yield_now().await;
    }
    drained(&topology).await;
}

/// The 50th call fails; the producer that is opened then ends.
async fn is_opened_again_after(failure: Call) {
    let recorder = Recorder::new();
    let openings = Arc::new(AtomicUsize::new(0));
    let source = Scripted::new({
        let openings = Arc::clone(&openings);
        move |_, call| match call {
            50 if openings.fetch_add(1, Ordering::Relaxed) == 0 => failure,
            50.. => Call::End,
            _ => Call::Deliver(3),
        }
    });
    let pipeline = Pipeline::new(source.clone(), Script::<u64>::new()).observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 300);
    assert_eq!(source.log.openings.load(Ordering::Relaxed), 2);
    assert_eq!(recorder.of("producer_failed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_fails_when_a_processor_calls_it_is_opened_again() {
    is_opened_again_after(Call::Fail).await;
}

#[tokio::test(start_paused = true)]
async fn a_producer_that_panics_when_a_processor_calls_it_is_opened_again() {
    is_opened_again_after(Call::Panic).await;
}

#[tokio::test(start_paused = true)]
async fn processors_that_all_wait_do_not_keep_a_producer_from_being_called() {
    let source = Scripted::new(|_, call| match call {
        100.. => Call::DeliverAfter(SECOND * 1_000),
        _ => Call::Deliver(1),
    });
    let topology = Pipeline::new(source.clone(), Script::<u64>::new().wait(|_| Wait::Ever))
        .processors(Processors::new(2))
        .start()
        .await
        .unwrap();
    settle_down().await;
    // Both handlers wait, and the rest waits in the link.
    assert_eq!(source.calls(), 101);
    assert_eq!(topology.totals().received, 100);
    topology.abort().await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn idle_processors_join_for_work_that_takes_long() {
    let tasks = Collector::new();
    let script = Script::<u64>::new().wait({
        let tasks = tasks.clone();
        move |_| {
            tasks.push(task::try_id());
            Wait::For(SECOND)
        }
    });
    let source = Scripted::new(|_, call| match call {
        8.. => Call::End,
        _ => Call::Deliver(1),
    });
    let pipeline = Pipeline::new(source, script).processors(Processors::new(8));
    let began = tokio::time::Instant::now();
    let topology = pipeline.start().await.unwrap();
    assert_eq!(topology.wait().await.unwrap().done, 8);
    assert_eq!(began.elapsed(), SECOND, "all at once");
    let mut tasks = tasks.all();
    tasks.sort_by_key(|task| format!("{task:?}"));
    tasks.dedup();
    assert_eq!(tasks.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn keys_keep_their_order_when_processors_call_the_producer() {
    let handled = Collector::new();
    let handler = handler_fn({
        let handled = handled.clone();
        move |message: &mut Message<u64>| {
            handled.push(*message.data());
            Ok(())
        }
    });
    let processors = Processors::new(4).partition_by(|message: &Message<u64>| message.data() % 7);
    let pipeline = Pipeline::new(Scripted::new(thousand), handler).processors(processors);
    let topology = pipeline.start().await.unwrap();
    assert!(topology.wait().await.unwrap().done > 900);
    for key in 0..7 {
        let of_key: Vec<_> = handled.all().into_iter().filter(|n| n % 7 == key).collect();
        assert!(of_key.is_sorted(), "key {key}");
    }
}
