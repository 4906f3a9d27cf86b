//! `in_flight`: handlers that run side by side within few processors.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use broadway_core::{
    Batching, BoxError, Handler, Message, Next, NoBatcher, Processors, Retry, StartError,
    testing::{Collector, Recorder, assert_order_per_key},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Sink, Wait, fed, is_done, outcomes};

/// A key, and a number that rises with each message of the key.
type Keyed = (u64, u64);

fn by_key(processors: usize) -> Processors<Keyed> {
    Processors::new(processors).partition_by(|message: &Message<Keyed>| message.data().0)
}

/// Sleeps for a second, and counts how many of its calls run at once, in all and of one key.
#[derive(Default)]
struct Counting {
    running: AtomicUsize,
    most: AtomicUsize,
    keys: Mutex<HashMap<u64, usize>>,
}

impl Handler for Counting {
    type In = Keyed;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Keyed>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let (key, n) = *message.data();
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        *self.keys.lock().unwrap().entry(key).or_default() += 1;
        tokio::time::sleep(SECOND).await;
        let at_once = std::mem::take(self.keys.lock().unwrap().get_mut(&key).unwrap());
        self.running.fetch_sub(1, Ordering::Relaxed);
        match at_once {
            1 => Ok(Next::Ack),
            _ => Err(format!("{key}/{n}: {at_once} at once").into()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn many_handlers_run_at_once_on_few_processors_and_no_more_than_allowed() {
    let handler = Arc::new(Counting::default());
    let (pipeline, feed) = fed(Arc::clone(&handler));
    let processors = Processors::new(2).in_flight(25);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let started = Instant::now();
    feed.push_all((0..100).map(|n| (n, n)));
    feed.end();
    let totals = topology.wait().await.unwrap();
    assert_eq!(totals.done, 100);
    assert_eq!(handler.most.load(Ordering::Relaxed), 25);
    assert!(started.elapsed() < 5 * SECOND, "{:?}", started.elapsed());
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_key_run_one_at_a_time_beside_those_of_other_keys() {
    let handler = Arc::new(Counting::default());
    let (pipeline, feed) = fed(Arc::clone(&handler));
    let processors = by_key(2).in_flight(50);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let started = Instant::now();
    feed.push_all((0..5).flat_map(|n| (0..20).map(move |key| (key, n))));
    feed.end();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (100, 0));
    assert_eq!(handler.most.load(Ordering::Relaxed), 20);
    assert!(started.elapsed() < 6 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_sleeps_holds_back_no_other() {
    let script = Script::<Keyed>::new().wait(|&(key, _)| match key {
        0 => Wait::For(1_000 * SECOND),
        _ => Wait::For(Duration::from_millis(5)),
    });
    let (pipeline, feed) = fed(script);
    let processors = by_key(1).in_flight(10);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let started = Instant::now();
    let slow = feed.push_all((0..3).map(|n| (0, n)));
    let quick = feed.push_all((0..500).map(|n| (1 + n % 7, n)));
    assert!(outcomes(quick).await.iter().all(is_done));
    assert!(started.elapsed() < 2 * SECOND, "{:?}", started.elapsed());
    assert!(outcomes(slow).await.iter().all(is_done));
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn order_per_key_survives_retries_and_batches() {
    let (seen, batched) = (Collector::new(), Collector::new());
    let script = Script::<Keyed>::new()
        .wait(|&(key, n)| Wait::For(Duration::from_millis((key * 7 + n * 13) % 11)))
        .message({
            let seen = seen.clone();
            move |message| {
                let (key, n) = *message.data();
                if (key + n) % 6 == 0 && message.attempt() < 3 {
                    return Err("busy".into());
                }
                seen.push((key, n));
                Ok(Next::batch(Sink::One, (key, n)))
            }
        })
        .batch({
            let batched = batched.clone();
            move |_, batch| {
                if batch.attempt() == 1 && batch.data()[0].1 % 4 == 0 {
                    return Err("busy".into());
                }
                batch.iter().for_each(|row| batched.push(*row));
                Ok(())
            }
        });
    let (pipeline, feed) = fed(script);
    let recorder = Recorder::new();
    let pipeline = pipeline
        .processors(by_key(3).in_flight(40))
        .batchers(|_| Batching::new(10, SECOND).concurrency(3))
        .on_failure(Retry::fixed(SECOND))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    feed.push_all((0..60).flat_map(|n| (0..9).map(move |key| (key, n))));
    feed.end();
    let totals = topology.wait().await.unwrap();
    assert_eq!(totals.done, 540);
    assert!(recorder.count("retry_scheduled") > 100);
    assert_order_per_key(seen.all());
    assert_order_per_key(batched.all());
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_full_sink_holds_back_no_handler_that_is_running() {
    // The batch processor never returns, so that the loop waits for room.
    let ended = Collector::new();
    let script = Script::<Keyed>::new()
        .wait(|&(_, n)| Wait::For(n as u32 * SECOND))
        .message({
            let ended = ended.clone();
            move |message| {
                ended.push(message.data().1);
                Ok(Next::batch(Sink::One, *message.data()))
            }
        })
        .batch_wait(|_| Wait::Ever);
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .processors(Processors::new(1).in_flight(30))
        .batchers(|_| Batching::new(1, SECOND).buffered_max(1));
    let topology = pipeline.start().await.unwrap();
    feed.push_all((0..30).map(|n| (n, n)));
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(ended.len(), 30);
    let _ = topology.abort().await;
}

#[tokio::test(start_paused = true)]
async fn panics_and_early_acknowledgements_work_side_by_side() {
    struct Mixed;
    impl Handler for Mixed {
        type In = Keyed;
        type Out = ();
        type Batcher = NoBatcher;

        async fn handle_message(
            &self,
            message: &mut Message<Keyed>,
        ) -> Result<Next<(), NoBatcher>, BoxError> {
            let (key, _) = *message.data();
            if key == 2 {
                message.ack_now().await?;
            }
            tokio::time::sleep(SECOND).await;
            match key {
                1 => panic!("no"),
                2 => Err("after it was acknowledged".into()),
                _ => Ok(Next::Ack),
            }
        }
    }
    let (pipeline, feed) = fed(Mixed);
    let processors = Processors::new(1).in_flight(10);
    let topology = pipeline.processors(processors).start().await.unwrap();
    let receipts = feed.push_all((0..4).map(|key| (key, 0)));
    feed.end();
    let outcomes = outcomes(receipts).await;
    let done: Vec<_> = outcomes.iter().map(is_done).collect();
    assert_eq!(done, [true, false, true, true]);
    topology.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn fewer_places_than_processors_are_refused() {
    let (pipeline, _feed) = fed(Script::<u64>::new());
    let started = pipeline
        .processors(Processors::new(4).in_flight(3))
        .start()
        .await;
    let Err(StartError::Invalid(problems)) = started else {
        panic!("accepted");
    };
    assert_eq!(problems[0].option(), "processors.in_flight");
}
