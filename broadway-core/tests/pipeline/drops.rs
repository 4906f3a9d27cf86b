//! A panic in the user's `Drop` fails the messages of its chunk or batch, and nothing else.

use std::panic::{panic_any, resume_unwind};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Outcome, Pipeline, Processors,
    RunError,
    testing::{drained, manual_source},
};

use crate::common::{SECOND, outcomes};

/// Panics when it is dropped, if it is armed.
#[derive(Debug)]
struct Mine {
    is_armed: bool,
}

impl Drop for Mine {
    fn drop(&mut self) {
        if self.is_armed {
            resume_unwind(Box::new("in a Drop"));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Nowhere,
    /// As `Nowhere`, for a message that goes into a batch.
    InBatch,
    Item,
    /// The item of a message that goes into a batch.
    ItemInBatch,
    Output,
    /// The payload of a panic in `handle_message`.
    Payload,
    PayloadInBatch,
    /// The error of `handle_message`.
    Error,
    /// Item and output of a message whose batch fails.
    Both,
}

struct Item {
    at: Where,
    _mine: Mine,
}

impl Item {
    fn new(at: Where) -> Self {
        let is_armed = [Where::Item, Where::ItemInBatch, Where::Both].contains(&at);
        Self {
            at,
            _mine: Mine { is_armed },
        }
    }
}

struct Output {
    at: Where,
    _mine: Mine,
}

#[derive(Debug)]
struct Cause(Mine);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "armed: {}", self.0.is_armed)
    }
}

impl std::error::Error for Cause {}

struct Careless;

impl Handler for Careless {
    type In = Item;
    type Out = Output;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Item>,
    ) -> Result<Next<Output, OneBatcher>, BoxError> {
        let at = message.data().at;
        match at {
            Where::Nowhere | Where::Item => Ok(Next::Ack),
            Where::Payload => panic_any(Mine { is_armed: true }),
            Where::Error => Err(Cause(Mine { is_armed: true }).into()),
            _ => {
                let is_armed = [Where::Output, Where::Both].contains(&at);
                let _mine = Mine { is_armed };
                Ok(Next::batch(OneBatcher, Output { at, _mine }))
            }
        }
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Output>) -> Result<(), BoxError> {
        match batch.data()[0].at {
            Where::PayloadInBatch => panic_any(Mine { is_armed: true }),
            Where::Both => Err("refused".into()),
            _ => Ok(()),
        }
    }
}

/// Returns the outcomes of a chunk or a batch of these, and of one message after it.
async fn ended(chunk: &[Where]) -> Vec<Outcome> {
    let (source, feed) = manual_source();
    let size = chunk.len().max(1);
    let pipeline = Pipeline::new(source, Careless).batchers(move |_| Batching::new(size, SECOND));
    let topology = pipeline.start().await.unwrap();
    let first = outcomes(feed.push_all(chunk.iter().copied().map(Item::new))).await;
    let after = outcomes([feed.push(Item::new(Where::Nowhere))]).await;
    assert!(after[0].is_done(), "the topology goes on");
    drained(&topology).await;
    feed.assert_settled_once();
    first
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_an_item_fails_its_chunk_and_ends_nothing() {
    let outcomes = ended(&[Where::Nowhere, Where::Item, Where::Nowhere]).await;
    assert!(outcomes[1].is_failed(), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn two_items_of_a_chunk_whose_drop_panics_do_not_end_the_process() {
    let outcomes = ended(&[Where::Item, Where::Item, Where::Item]).await;
    assert!(outcomes.iter().all(Outcome::is_failed), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_an_item_or_output_of_a_batch_fails_the_batch() {
    for at in [Where::ItemInBatch, Where::Output] {
        let outcomes = ended(&[at, at]).await;
        assert!(outcomes.iter().all(Outcome::is_failed), "{outcomes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_an_output_fails_its_small_batch_and_none_before_it() {
    let (source, feed) = manual_source();
    let pipeline = Pipeline::new(source, Careless).batchers(|_| Batching::new(1, SECOND));
    let topology = pipeline.start().await.unwrap();
    let is_armed = |n: usize| n % 50 == 49;
    let items = (0..500).map(|n| match is_armed(n) {
        true => Item::new(Where::Output),
        false => Item::new(Where::InBatch),
    });
    let outcomes = outcomes(feed.push_all(items)).await;
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.is_failed(), is_armed(n), "{n}");
    }
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_drop_of_a_panic_payload_is_one_failure() {
    for at in [Where::Payload, Where::PayloadInBatch, Where::Error] {
        let outcomes = ended(&[at, at]).await;
        assert!(
            outcomes.iter().all(Outcome::is_failed),
            "{at:?}: {outcomes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn item_and_output_of_a_failed_batch_that_both_panic_do_not_end_the_process() {
    let outcomes = ended(&[Where::Both, Where::Both]).await;
    assert!(outcomes.iter().all(Outcome::is_failed), "{outcomes:?}");
}

/// Never returns, so that messages wait at every step behind it.
struct Stuck;

impl Handler for Stuck {
    type In = Item;
    type Out = Output;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Item>,
    ) -> Result<Next<Output, OneBatcher>, BoxError> {
        if message.data().at == Where::Item {
            std::future::pending().await
        }
        let _mine = Mine { is_armed: true };
        let at = message.data().at;
        Ok(Next::batch(OneBatcher, Output { at, _mine }))
    }

    async fn handle_batch(&self, _: OneBatcher, _: &mut Batch<Output>) -> Result<(), BoxError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_drops_messages_that_panic_wherever_they_wait() {
    // In the link, with a processor, in open, ready and taken batches, and with a processor that waits for room.
    for (at, size) in [
        (Where::Item, 1),
        (Where::Both, 1_000),
        (Where::Both, 2),
        (Where::Both, 1),
    ] {
        let (source, feed) = manual_source();
        let pipeline = Pipeline::new(source, Stuck)
            .processors(Processors::new(2).max_demand(5))
            .batchers(move |_| Batching::new(size, SECOND * 60));
        let topology = pipeline.start().await.unwrap();
        feed.push_all((0..400).map(|_| Item::new(at)));
        // On paused time: when this sleep ends, every message has moved as far as it can.
        tokio::time::sleep(SECOND).await;
        let ended = topology.abort().await;
        assert!(matches!(ended, Err(RunError::Aborted { unsettled: 1.. })));
        // The feed keeps the messages that were not asked for.
        std::mem::forget(feed);
    }
}
