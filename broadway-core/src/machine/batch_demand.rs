//! How many due batches the batch processors of one batcher would take now.
//!
//! A full batch is sent at once. A batch that is only *due* is better kept open until a batch
//! processor is free for it, since it grows meanwhile. Full batches of busy keys could keep all
//! processors from ever being free, so of the batches that end while others wait every second one
//! lets a due batch go as well.
//!
//! A batch whose order matters has a lane, and the batches of one lane are handled one after the
//! other: the batches of a lane that are on their way keep one processor busy, however many they
//! are, and a due batch of that lane stays open until they have ended.

use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroU64,
};

use foldhash::fast::RandomState;

/// Counts batch processors, and the batches that are on their way to them or with them.
///
/// ```
/// use broadway_core::machine::batch_demand::BatchDemand;
///
/// let mut demand = BatchDemand::new();
/// demand.joined();
/// assert_eq!(demand.wanted(), 1);
/// demand.sent(None);
/// assert_eq!(demand.wanted(), 0);
/// assert_eq!(demand.ended(None), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct BatchDemand {
    processors: usize,
    /// Batches that were sent and have not ended; of each lane one.
    busy: usize,
    /// How many batches of each lane were sent and have not ended.
    lanes: HashMap<NonZeroU64, usize, RandomState>,
    /// Whether the last batch that ended while others waited let a due one go.
    turn: bool,
}

impl BatchDemand {
    /// No processors yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One more processor comes for batches.
    pub fn joined(&mut self) {
        self.processors += 1;
    }

    /// How many batches would be taken at once.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.processors.saturating_sub(self.busy)
    }

    /// Whether a batch of this lane could be taken, if a processor is free. `None`, here and below: a batch without a lane,
    /// which is in order with no other.
    #[must_use]
    pub fn may(&self, lane: Option<NonZeroU64>) -> bool {
        lane.is_none_or(|lane| !self.lanes.contains_key(&lane))
    }

    /// A batch of this lane was sent.
    pub fn sent(&mut self, lane: Option<NonZeroU64>) {
        match lane {
            None => self.busy += 1,
            Some(lane) => {
                let sent = self.lanes.entry(lane).or_default();
                self.busy += usize::from(*sent == 0);
                *sent += 1;
            }
        }
    }

    /// A batch of this lane was handled, and its processor comes for the next. Returns how many due
    /// batches may go now.
    #[must_use]
    pub fn ended(&mut self, lane: Option<NonZeroU64>) -> usize {
        match lane {
            None => self.busy = self.busy.saturating_sub(1),
            Some(lane) => {
                if let Entry::Occupied(mut sent) = self.lanes.entry(lane) {
                    *sent.get_mut() -= 1;
                    if *sent.get() == 0 {
                        sent.remove();
                        self.busy -= 1;
                    }
                }
            }
        }
        let wanted = self.wanted();
        if wanted > 0 {
            return wanted;
        }
        self.turn = !self.turn;
        usize::from(self.turn)
    }
}
