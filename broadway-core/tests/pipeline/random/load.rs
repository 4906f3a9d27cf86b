//! Messages that carry how they are to be handled, the handler that does it, and the outcomes that it intended.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use broadway_core::{Batch, BatchKey, BoxError, Chunk, Failed, Handler, Message, Next, Outcome};

use super::{Dice, index_of};
use crate::common::Sink;

/// A key on which `partition_by` panics.
pub(crate) const NO_KEY: u64 = 7;
/// A part in a batch on which the size function panics, where there is one.
pub(crate) const NO_SIZE: u8 = 5;

/// One message. Its id rises from message to message.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) id: u64,
    pub(crate) key: u64,
    pub(crate) fate: Fate,
    /// How often the handler fails before it does what the fate says.
    retries: u32,
    wait: u64,
    sink: Sink,
    batch_key: u64,
    flush: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Ack,
    Err,
    Panic,
    /// Acknowledged early, and then it fails.
    Early,
    /// Goes into a batch, where 1 fails itself, 2 and 3 the whole batch, and 4 acknowledges the first half early.
    Batch(u8),
}

impl Load {
    pub(crate) fn random(id: u64, key_base: u64, dice: &mut Dice) -> Self {
        let fate = match dice.below(16) {
            0..4 => Fate::Ack,
            4 => Fate::Err,
            5 => Fate::Panic,
            6 => Fate::Early,
            _ if dice.one_in(4) => Fate::Batch(dice.below(6) as u8),
            _ => Fate::Batch(0),
        };
        Self {
            id,
            key: key_base + dice.below(8),
            fate,
            retries: if dice.one_in(4) {
                dice.below(4) as u32
            } else {
                0
            },
            wait: dice.below(12),
            sink: if dice.one_in(3) { Sink::Two } else { Sink::One },
            batch_key: dice.below(3),
            flush: dice.one_in(20),
        }
    }
}

/// The outcome that a handler intended for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meant {
    Done,
    Failed,
    /// Failed, and to be handled again.
    Retried,
    /// On its way into a batch, where it may fail before a handler sees it.
    Batch,
}

/// What the handler did.
#[derive(Default)]
pub(crate) struct Books {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The id of each message of the feed, by its number there.
    fed: Vec<u64>,
    meant: HashMap<u64, Meant>,
    begun: HashSet<u64>,
    /// May fail though no handler saw them.
    doomed: HashSet<u64>,
    busy: HashMap<u64, u64>,
    overlaps: Vec<(u64, u64)>,
    handled: Vec<(u64, u64)>,
    batched: Vec<((u64, Sink, u64), u64)>,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics under this lock")
    }

    pub(crate) fn made(&self, load: &Load) {
        if load.key == NO_KEY {
            self.lock().doomed.insert(load.id);
        }
    }

    pub(crate) fn fed(&self, id: u64) {
        self.lock().fed.push(id);
    }

    pub(crate) fn id_of_feed(&self, number: usize) -> u64 {
        self.lock().fed[number]
    }

    /// Checks one outcome against the intended one. 0 done, 1 failed, 2 released.
    pub(crate) fn check(&self, id: u64, outcome: &Outcome) -> usize {
        let state = self.lock();
        let (meant, begun) = (state.meant.get(&id), state.begun.contains(&id));
        let doomed = !begun && state.doomed.contains(&id);
        let right = match outcome {
            Outcome::Done => meant == Some(&Meant::Done),
            Outcome::Failed(_) => doomed || matches!(meant, Some(Meant::Failed | Meant::Batch)),
            // A drain releases those that wait to be handled again.
            _ => !begun || meant == Some(&Meant::Retried),
        };
        drop(state);
        assert!(
            right,
            "message {id}: {outcome:?}, but meant {meant:?}, begun {begun}",
            meant = self.lock().meant.get(&id)
        );
        index_of(outcome)
    }

    pub(crate) fn assert_no_overlap(&self) {
        let overlaps = &self.lock().overlaps;
        assert!(
            overlaps.is_empty(),
            "handled at once, of one key: {overlaps:?}"
        );
    }

    pub(crate) fn handled(&self) -> Vec<(u64, u64)> {
        self.lock().handled.clone()
    }

    pub(crate) fn batched(&self) -> Vec<((u64, Sink, u64), u64)> {
        self.lock().batched.clone()
    }

    fn begin(&self, load: &Load) -> Busy<'_> {
        let mut state = self.lock();
        state.begun.insert(load.id);
        state.handled.push((load.key, load.id));
        if let Some(other) = state.busy.insert(load.key, load.id) {
            state.overlaps.push((other, load.id));
        }
        Busy {
            books: self,
            key: load.key,
        }
    }

    fn mean(&self, id: u64, meant: Meant) {
        self.lock().meant.insert(id, meant);
    }

    /// A message that was acknowledged early stays acknowledged.
    fn mean_unless_done(&self, id: u64, meant: Meant) {
        let mut state = self.lock();
        if state.meant.get(&id) != Some(&Meant::Done) {
            state.meant.insert(id, meant);
        }
    }
}

/// A message of this key is being handled, until this is dropped.
struct Busy<'a> {
    books: &'a Books,
    key: u64,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.books.lock().busy.remove(&self.key);
    }
}

/// Handles messages as they ask, and records the intended outcomes.
pub(crate) struct Loader {
    books: Arc<Books>,
    /// Whether `prepare_messages` fails now and then, and `handle_failed` panics.
    clumsy: bool,
    /// How often a message is handled, alone and in batches.
    pub(crate) attempts: u32,
    pub(crate) batch_attempts: u32,
    pub(crate) keeps_order: bool,
    /// The duration that is used as a millisecond.
    unit: Duration,
}

impl Loader {
    pub(crate) fn new(clumsy: bool, unit: Duration) -> (Self, Arc<Books>) {
        let books = Arc::new(Books::default());
        let loader = Self {
            books: Arc::clone(&books),
            clumsy,
            attempts: 1,
            batch_attempts: 1,
            keeps_order: false,
            unit,
        };
        (loader, books)
    }

    async fn wait(&self, wait: u64) {
        match wait {
            0 | 1 => tokio::task::yield_now().await,
            2 | 3 => tokio::time::sleep(self.unit * 7 * wait as u32).await,
            4 => tokio::time::sleep(self.unit * 900).await,
            _ => {}
        }
    }
}

impl Handler for Loader {
    type In = Load;
    type Out = Load;
    type Batcher = Sink;

    async fn prepare_messages(&self, chunk: &mut Chunk<'_, Load>) -> Result<(), BoxError> {
        let ids: Vec<_> = chunk.iter_mut().map(|message| message.data().id).collect();
        if !self.clumsy || ids[0] % 9 != 0 {
            return Ok(());
        }
        self.books.lock().doomed.extend(&ids);
        match ids[0] % 2 {
            0 => Err("no query".into()),
            _ => std::panic::resume_unwind(Box::new("broken query")),
        }
    }

    async fn handle_message(
        &self,
        message: &mut Message<Load>,
    ) -> Result<Next<Load, Sink>, BoxError> {
        let load = message.data().clone();
        let _busy = self.books.begin(&load);
        self.wait(load.wait).await;
        let books = &self.books;
        let failed = match message.attempt() < self.attempts {
            true => Meant::Retried,
            false => Meant::Failed,
        };
        if message.attempt() <= load.retries {
            books.mean_unless_done(load.id, failed);
            return Err("asked to fail for now".into());
        }
        match load.fate {
            Fate::Ack => books.mean(load.id, Meant::Done),
            Fate::Err => books.mean(load.id, failed),
            Fate::Panic => books.mean(load.id, Meant::Failed),
            Fate::Early => {
                books.mean(load.id, Meant::Done);
                // The acknowledger may fail; then too the message is settled.
                let _ = message.ack_now().await;
            }
            Fate::Batch(_) => books.mean(load.id, Meant::Batch),
        }
        match load.fate {
            Fate::Ack => Ok(Next::Ack),
            Fate::Err | Fate::Early => Err("asked to fail".into()),
            // Without the hook that prints.
            Fate::Panic => std::panic::resume_unwind(Box::new("asked to panic")),
            Fate::Batch(_) => {
                let next = Next::batch(load.sink, load.clone()).key(load.batch_key);
                Ok(if load.flush { next.flush() } else { next })
            }
        }
    }

    async fn handle_batch(&self, sink: Sink, batch: &mut Batch<Load>) -> Result<(), BoxError> {
        let loads: Vec<Load> = batch.iter().cloned().collect();
        for load in &loads {
            assert_eq!(
                (load.sink, BatchKey::from(load.batch_key)),
                (sink, batch.key().clone())
            );
            self.books
                .lock()
                .batched
                .push(((load.key, sink, load.batch_key), load.id));
        }
        self.wait(loads[0].wait).await;
        let has = |part| loads.iter().any(|load| load.fate == Fate::Batch(part));
        if has(4) {
            let half = loads.len() / 2;
            loads[..half]
                .iter()
                .for_each(|load| self.books.mean(load.id, Meant::Done));
            let _ = batch.ack_now(batch.rows().take(half)).await;
        }
        let whole_fails = has(2) || has(3);
        let mut retried_keys = HashSet::new();
        let rows: Vec<_> = batch.rows().map(|row| row.id()).collect();
        for (row, load) in rows.into_iter().zip(&loads) {
            let named = load.fate == Fate::Batch(1);
            let panics = has(3) && !has(2);
            let meant = match (named, whole_fails) {
                // Handled again behind an earlier message of its key.
                (false, false) if self.keeps_order && retried_keys.contains(&load.key) => {
                    Meant::Retried
                }
                (false, false) => Meant::Done,
                // A panic is not retried. A row has a reason of its own.
                (false, true) if panics => Meant::Failed,
                _ if batch.attempt() < self.batch_attempts => {
                    retried_keys.insert(load.key);
                    Meant::Retried
                }
                _ => Meant::Failed,
            };
            self.books.mean_unless_done(load.id, meant);
            if named {
                batch.fail(row, "asked to fail");
            }
        }
        match (has(2), has(3)) {
            (true, _) => Err("asked to fail".into()),
            (_, true) => std::panic::resume_unwind(Box::new("asked to panic")),
            _ => Ok(()),
        }
    }

    async fn handle_failed(&self, failed: &mut [Failed<Load, Load>]) {
        if self.clumsy && failed[0].message().data().id.is_multiple_of(5) {
            std::panic::resume_unwind(Box::new("while failing"));
        }
    }
}
