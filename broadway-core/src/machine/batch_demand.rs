//! [`BatchDemand`]: how many due batches to send to the batch processors of one batcher now.
//!
//! A full batch is sent at once. A batch that is only *due* stays open until a batch processor is free for it, because
//! it grows meanwhile. Full batches of busy keys could keep every processor busy forever, so every second batch that
//! ends while others wait lets one due batch go as well.
//!
//! A batch whose order matters has a lane, and batches of one lane are handled one after the other. However many
//! batches of a lane have been sent, they keep one processor busy, and a due batch of that lane stays open until they
//! have ended.

use std::{
    collections::{HashMap, hash_map::Entry},
    num::NonZeroU64,
};

use foldhash::fast::RandomState;

/// Counts the batch processors and the batches that were sent to them and have not ended.
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
    /// Batches that were sent and have not ended, counting one for each lane.
    busy: usize,
    /// The number of batches of each lane that were sent and have not ended.
    lanes: HashMap<NonZeroU64, usize, RandomState>,
    /// Whether the last batch that ended while others waited let a due batch go.
    turn: bool,
}

impl BatchDemand {
    /// Creates a count without processors.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a processor.
    pub fn joined(&mut self) {
        self.processors += 1;
    }

    /// Removes a processor. Batches that were sent for it stay with the others.
    pub fn left(&mut self) {
        self.processors = self.processors.saturating_sub(1);
    }

    /// Returns how many batches the idle processors would take now.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.processors.saturating_sub(self.busy)
    }

    /// Returns whether a batch of this lane could be taken if a processor is free. `None`, here and below, is a batch
    /// without a lane, which has no order to keep.
    #[must_use]
    pub fn may(&self, lane: Option<NonZeroU64>) -> bool {
        lane.is_none_or(|lane| !self.lanes.contains_key(&lane))
    }

    /// Records that a batch of this lane was sent.
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

    /// Records that a batch of this lane failed and waits to be handled again, and that its processor is free. Returns how many due
    /// batches of other lanes may be sent now.
    #[must_use]
    pub fn set_aside(&mut self, lane: Option<NonZeroU64>) -> usize {
        // Its lane stays: the batches behind it wait, too, and keep no processor busy.
        let _ = lane;
        self.busy = self.busy.saturating_sub(1);
        self.wanted()
    }

    /// Records that a batch that was set aside is sent again.
    pub fn resumed(&mut self, lane: Option<NonZeroU64>) {
        let _ = lane;
        self.busy += 1;
    }

    /// Records that a batch of this lane was handled and that its processor asks for the next. Returns how many due
    /// batches may be sent now.
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
