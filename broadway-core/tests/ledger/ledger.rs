//! What everyone saw, in order.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use crate::tap::Order;

/// A line of the ledger, about one delivery.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: Instant,
    /// Which topology of the run it was.
    pub(crate) topology: usize,
    /// The number of the delivery: every delivery of an id has another.
    pub(crate) number: usize,
    pub(crate) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Delivered {
        id: u64,
    },
    /// `handle_message` begins.
    Begun {
        attempt: u32,
    },
    /// It is in a batch that `handle_batch` begins.
    Batched,
    Failed(Stage),
    Postponed(Duration),
    /// Its handler asks for its rejection.
    Rejected,
    /// It is in the sink.
    Written(Stage),
    /// It fails for good because of another message of its batch.
    Condemned,
    /// `handle_done` sees it.
    DoneSeen,
    /// Its dead letter is there.
    LetterArrived,
    LetterConfirmed,
    LetterUnconfirmed,
    LetterRefused,
    Settled(Settlement),
    /// Its handler overlaps the handler of another message of its key.
    Overlaps,
}

/// The callback that handles a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Message,
    Batch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Done,
    Failed,
    Released,
}

#[derive(Default)]
pub(crate) struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    topology: usize,
    /// How often each delivery failed, as the handler counts.
    failures: HashMap<(usize, Stage), u32>,
    postponed: HashMap<usize, u32>,
    busy: HashSet<(u64, Stage)>,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }

    pub(crate) fn write(&self, number: usize, what: What) {
        self.lock().write(number, what);
    }

    /// The lines that follow are of the next topology.
    pub(crate) fn next_topology(&self) {
        self.lock().topology += 1;
    }

    pub(crate) fn topology(&self) -> usize {
        self.lock().topology
    }

    pub(crate) fn failures(&self, number: usize, stage: Stage) -> u32 {
        let state = self.lock();
        state.failures.get(&(number, stage)).copied().unwrap_or(0)
    }

    pub(crate) fn postponed(&self, number: usize) -> u32 {
        self.lock().postponed.get(&number).copied().unwrap_or(0)
    }

    /// A handler begins with messages of these keys. Their keys are busy until the result is dropped, also by a kill.
    pub(crate) fn begin(&self, orders: &[Order], stage: Stage) -> Busy<'_> {
        let (mut state, mut keys) = (self.lock(), HashSet::new());
        for order in orders {
            if keys.insert(order.key) && !state.busy.insert((order.key, stage)) {
                state.write(order.number, What::Overlaps);
            }
        }
        Busy {
            ledger: self,
            keys,
            stage,
        }
    }

    pub(crate) fn take(&self) -> Vec<Line> {
        std::mem::take(&mut self.lock().lines)
    }
}

impl State {
    fn write(&mut self, number: usize, what: What) {
        match what {
            What::Failed(stage) => *self.failures.entry((number, stage)).or_default() += 1,
            What::Postponed(_) => *self.postponed.entry(number).or_default() += 1,
            _ => {}
        }
        self.lines.push(Line {
            at: Instant::now(),
            topology: self.topology,
            number,
            what,
        });
    }
}

/// Keys whose messages are being handled.
pub(crate) struct Busy<'a> {
    ledger: &'a Ledger,
    keys: HashSet<u64>,
    stage: Stage,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        for key in &self.keys {
            state.busy.remove(&(*key, self.stage));
        }
    }
}
