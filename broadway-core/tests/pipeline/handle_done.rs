//! `handle_done`: called with what succeeded, before it is settled.

use std::{
    future::{self, Future},
    sync::Arc,
};

use broadway_core::{
    Batch, BoxError, Chunk, Handler, Message, Next, Processors, Retry,
    testing::{Collector, Feed, Recorder},
};
use tokio::sync::OnceCell;

use crate::common::{SECOND, Sink, fed, long};

/// Sends every third message to a batch, fails every seventh, and records what it is told is done.
struct Saga {
    done: Collector<u64>,
    /// How many messages were settled when `handle_done` was called.
    settled: Collector<usize>,
    feed: Arc<OnceCell<Feed<u64>>>,
    panics: bool,
}

impl Handler for Saga {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, Sink>, BoxError> {
        let n = *message.data();
        if n.is_multiple_of(5) {
            tokio::task::yield_now().await;
        }
        match n {
            n if n.is_multiple_of(7) && message.attempt() == 1 => Err("busy".into()),
            n if n.is_multiple_of(3) => Ok(Next::batch(Sink::One, n)),
            _ => Ok(Next::Ack),
        }
    }

    async fn handle_batch(&self, _: Sink, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        for row in batch.rows() {
            if **row == 9 {
                batch.fail(&row, "no");
            }
        }
        Ok(())
    }

    async fn handle_done(&self, done: &mut Chunk<'_, u64>) {
        for message in done.iter_mut() {
            self.done.push(*message.data());
        }
        if let Some(feed) = self.feed.get() {
            let unsettled = feed.unsettled().len();
            self.settled.push(feed.delivered() - unsettled);
        }
        assert!(!self.panics, "while done");
    }
}

fn saga(panics: bool) -> Saga {
    Saga {
        done: Collector::new(),
        settled: Collector::new(),
        feed: Arc::default(),
        panics,
    }
}

async fn run(processors: Processors<u64>, panics: bool) -> (Vec<u64>, Vec<usize>, Recorder) {
    let handler = saga(panics);
    let (done, settled) = (handler.done.clone(), handler.settled.clone());
    let place = Arc::clone(&handler.feed);
    let (pipeline, feed) = fed(handler);
    let _ = place.set(feed.clone());
    let recorder = Recorder::new();
    let pipeline = pipeline
        .processors(processors)
        .batchers(|_| long().on_failure(broadway_core::FailureAction::Reject))
        .on_failure(Retry::fixed(SECOND))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..40);
    feed.end();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.done, totals.failed), (39, 1));
    feed.assert_settled_once();
    let mut done = done.all();
    done.sort_unstable();
    (done, settled.all(), recorder)
}

fn all_but_nine() -> Vec<u64> {
    (0..40).filter(|n| *n != 9).collect()
}

#[tokio::test(start_paused = true)]
async fn each_message_that_succeeds_is_shown_once_and_before_it_is_settled() {
    for processors in [
        Processors::new(1),
        Processors::new(3).max_demand(7),
        Processors::new(2).in_flight(9),
    ] {
        let (done, settled, _) = run(processors, false).await;
        assert_eq!(done, all_but_nine());
        assert_eq!(settled[0], 0, "nothing is settled at the first call");
    }
}

#[tokio::test(start_paused = true)]
async fn its_panic_is_reported_and_changes_no_outcome() {
    let (done, _, recorder) = run(Processors::new(2), true).await;
    assert_eq!(done, all_but_nine());
    assert!(recorder.count("handle_done_panicked") > 0);
}

/// Does its work when it is called, and returns a future that is ready.
struct Eager(Collector<u64>);

impl Handler for Eager {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, Sink>, BoxError> {
        match *message.data() {
            n if n.is_multiple_of(2) => Ok(Next::batch(Sink::One, n)),
            _ => Ok(Next::Ack),
        }
    }

    async fn handle_batch(&self, _: Sink, _: &mut Batch<u64>) -> Result<(), BoxError> {
        Ok(())
    }

    fn handle_done(&self, done: &mut Chunk<'_, u64>) -> impl Future<Output = ()> + Send {
        for message in done.iter_mut() {
            self.0.push(*message.data());
        }
        future::ready(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_not_async_is_called_as_well() {
    let done = Collector::new();
    let (pipeline, feed) = fed(Eager(done.clone()));
    let topology = pipeline.batchers(|_| long()).start().await.unwrap();
    feed.push_all(0..10);
    feed.end();
    topology.wait().await.unwrap();
    let mut done = done.all();
    done.sort_unstable();
    assert_eq!(done, (0..10).collect::<Vec<_>>());
}
