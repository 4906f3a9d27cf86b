//! An outcome belongs to its message, even if the handler sorts, reverses, swaps or takes the values that the engine hands out.

use std::collections::HashSet;

use broadway_core::{
    Batch, Batching, BoxError, Chunk, DeadLetters, Failed, Handler, Message, Next, NoAckOptions,
    OneBatcher, Outcome, Pipeline, PublishError, Publisher, Record, Row,
    testing::{RecordingPublisher, drained, manual_source},
};
use proptest::prelude::*;

use crate::common::{SECOND, outcomes};

/// The intended outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Done,
    /// Fails in `handle_message`.
    Fails,
    /// Fails in `handle_message`, and is resolved.
    Resolved,
    /// Done in a batch.
    Batched,
    /// Failed alone in a batch.
    FailsInBatch,
    ResolvedInBatch,
    /// Acknowledged by `ack_now` in a batch, and then failed.
    Early,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    number: u64,
    fate: Fate,
    /// The sort key.
    rank: u64,
}

impl Record for Item {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        &[]
    }

    fn id(&self) -> String {
        self.number.to_string()
    }
}

/// How the handler accesses a batch.
#[derive(Debug, Clone, Copy)]
enum View {
    Rows,
    RowsMut,
    Taken,
}

/// Reorders all messages and rows that it gets.
struct Sorter(View);

impl Handler for Sorter {
    type In = Item;
    type Out = Item;
    type Batcher = OneBatcher;

    async fn prepare_messages(&self, chunk: &mut Chunk<'_, Item>) -> Result<(), BoxError> {
        let mut all: Vec<_> = chunk.iter_mut().collect();
        all.sort_by_key(|message| message.data().rank);
        if let [first, .., last] = &mut all[..] {
            std::mem::swap(first, last);
        }
        Ok(())
    }

    async fn handle_message(
        &self,
        message: &mut Message<Item>,
    ) -> Result<Next<Item, OneBatcher>, BoxError> {
        match message.data().fate {
            Fate::Done => Ok(Next::Ack),
            Fate::Fails | Fate::Resolved => Err("refused".into()),
            _ => Ok(Next::batch(OneBatcher, *message.data())),
        }
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Item>) -> Result<(), BoxError> {
        let sorted: Vec<Row<Item>> = match self.0 {
            View::Taken => {
                let mut rows = batch.take();
                rows.sort_by_key(|row| row.rank);
                rows
            }
            View::Rows => {
                let mut rows: Vec<_> = batch.rows().collect();
                rows.sort_by_key(|row| row.rank);
                for row in &rows {
                    decide(batch, row, row.fate).await?;
                }
                return Ok(());
            }
            View::RowsMut => {
                let mut rows: Vec<_> = batch.rows_mut().collect();
                rows.reverse();
                rows.sort_by_key(|row| row.rank);
                let ids: Vec<_> = rows.iter().map(|row| (row.id(), row.fate)).collect();
                for (id, fate) in ids {
                    decide(batch, id, fate).await?;
                }
                return Ok(());
            }
        };
        for row in &sorted {
            decide(batch, row, row.fate).await?;
        }
        Ok(())
    }

    async fn handle_failed(&self, failed: &mut [Failed<Item, Item>]) {
        failed.reverse();
        failed.sort_by_key(|failed| failed.message().data().rank);
        for failed in failed {
            let fate = failed.message().data().fate;
            if [Fate::Resolved, Fate::ResolvedInBatch].contains(&fate) {
                failed.resolve();
            }
        }
    }
}

async fn decide(
    batch: &Batch<Item>,
    row: impl Into<broadway_core::RowId>,
    fate: Fate,
) -> Result<(), BoxError> {
    let row = row.into();
    match fate {
        Fate::FailsInBatch | Fate::ResolvedInBatch => batch.fail(row, "bad row"),
        Fate::Early => {
            batch.ack_now([row]).await?;
            batch.fail(row, "too late to matter");
        }
        _ => {}
    }
    Ok(())
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let fate = prop_oneof![
        Just(Fate::Done),
        Just(Fate::Fails),
        Just(Fate::Resolved),
        Just(Fate::Batched),
        Just(Fate::FailsInBatch),
        Just(Fate::ResolvedInBatch),
        Just(Fate::Early),
    ];
    prop::collection::vec((fate, 0..50_u64), 1..40).prop_map(|items| {
        let numbered = (0..).zip(items);
        numbered
            .map(|(number, (fate, rank))| Item { number, fate, rank })
            .collect()
    })
}

fn on_paused_time<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(test)
}

async fn settled<H: Handler<In = Item, Out = Item, Batcher = OneBatcher>>(
    handler: H,
    items: &[Item],
) -> Vec<Outcome> {
    let (source, feed) = manual_source();
    let pipeline = Pipeline::new(source, handler).batchers(|_| Batching::new(7, SECOND));
    let topology = pipeline.start().await.unwrap();
    let outcomes = outcomes(feed.push_all(items.to_vec())).await;
    drained(&topology).await;
    feed.assert_settled_once();
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_message_ends_as_was_decided_for_it_wherever_it_was_sorted_to(
        items in items(),
        view in prop_oneof![Just(View::Rows), Just(View::RowsMut), Just(View::Taken)],
    ) {
        let outcomes = on_paused_time(settled(Sorter(view), &items));
        for (item, outcome) in items.iter().zip(outcomes) {
            let fails = [Fate::Fails, Fate::FailsInBatch].contains(&item.fate);
            prop_assert_eq!(outcome.is_failed(), fails, "{:?}: {:?}", item, outcome);
        }
    }

    #[test]
    fn a_message_is_resolved_if_its_own_dead_letter_was_confirmed(
        items in items(),
        refused in 0..10_usize,
    ) {
        let outbox = RecordingPublisher::new();
        for _ in 0..refused {
            outbox.fail_next(PublishError::refused("too large"));
        }
        let handler = DeadLetters::of(Sorter(View::Taken), outbox.clone());
        let outcomes = on_paused_time(settled(handler, &items));
        let letters = outbox.sent().all();
        let arrived: HashSet<_> = letters.iter().filter_map(|letter| letter.origin()).collect();
        for (item, outcome) in items.iter().zip(outcomes) {
            let fails = [Fate::Fails, Fate::FailsInBatch].contains(&item.fate);
            let expected = fails && !arrived.contains(item.id().as_str());
            prop_assert_eq!(outcome.is_failed(), expected, "{:?}: {:?}", item, outcome);
        }
    }

    #[test]
    fn a_batch_that_is_published_fails_the_messages_that_were_not_confirmed(
        count in 1..30_usize,
        refused in 0..30_usize,
    ) {
        let outbox = RecordingPublisher::new();
        for _ in 0..refused {
            outbox.fail_next(PublishError::refused("too large"));
        }
        let items: Vec<_> = (0..count as u64)
            .map(|number| Item { number, fate: Fate::Batched, rank: 0 })
            .collect();
        let outcomes = on_paused_time(settled(ToOutbox(outbox.clone()), &items));
        let failed = outcomes.iter().filter(|outcome| outcome.is_failed()).count();
        prop_assert_eq!(failed, refused.min(count));
        prop_assert_eq!(outbox.sent().len(), count - failed);
    }
}

struct ToOutbox(RecordingPublisher);

impl Handler for ToOutbox {
    type In = Item;
    type Out = Item;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Item>,
    ) -> Result<Next<Item, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Item>) -> Result<(), BoxError> {
        let (ids, items): (Vec<_>, Vec<_>) = batch
            .take()
            .into_iter()
            .map(|row| (row.id(), row.into_data()))
            .unzip();
        let letters = items
            .iter()
            .map(broadway_core::Outgoing::from_record)
            .collect();
        for (id, result) in ids.into_iter().zip(self.0.publish(letters).await) {
            if let Err(error) = result {
                batch.fail(id, error);
            }
        }
        Ok(())
    }
}
