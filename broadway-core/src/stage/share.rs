//! [`Share`]: one of several shares in the settlement of an event. The last share to be settled settles the event.
//!
//! This takes no lock and waits for nothing. The first failure is noted in a cell that is written once. The reference count identifies
//! the last share: exactly one share sees it reach zero, and only after all others have noted their outcomes.
//!
//! `tests/link-model` settles shares in every order.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use crate::{
    ack::Outcome,
    error::{Callback, Reason},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        into_inner,
    },
};

/// A share in the settlement of an event. Dropped unsettled, it counts as failed.
pub(crate) struct Share {
    /// `None` once it is settled.
    settlement: Option<Arc<SharedSettlement>>,
}

/// What all shares of an event have in common.
struct SharedSettlement {
    /// The first failure.
    failed: OnceLock<Reason>,
    /// Whether a share was released.
    released: AtomicBool,
    /// The longest delay of a share, in nanoseconds, plus 1; 0 if none was delayed. A share that was parked counts as delayed: the attempts
    /// of one consumer are not attempts of the others.
    delayed: AtomicU64,
    /// Never locked: the mutex only makes the function `Sync`.
    settle: Mutex<SettleFn>,
}

type SettleFn = Box<dyn FnOnce(Outcome) + Send>;

impl Share {
    /// Makes the first share. `settle` is called with the outcome of the event.
    pub(crate) fn new(settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        let settlement = SharedSettlement {
            failed: OnceLock::new(),
            released: AtomicBool::new(false),
            delayed: AtomicU64::new(0),
            settle: Mutex::new(Box::new(settle)),
        };
        Self {
            settlement: Some(Arc::new(settlement)),
        }
    }

    /// Makes another share in the same settlement.
    pub(crate) fn split(&self) -> Self {
        Self {
            settlement: self.settlement.clone(),
        }
    }

    /// Settles this share.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.settle_once(outcome);
    }

    /// Does nothing if the share is settled already.
    fn settle_once(&mut self, outcome: Outcome) {
        let Some(settlement) = self.settlement.take() else {
            return;
        };
        match outcome {
            Outcome::Done => {}
            Outcome::Failed(reason) => {
                // Fails if another share has failed before: the first reason counts.
                let _ = settlement.failed.set(reason);
            }
            Outcome::Released => settlement.released.store(true, Relaxed),
            Outcome::Delayed(time) | Outcome::Parked { pause: time, .. } => {
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                settlement
                    .delayed
                    .fetch_max(nanos.saturating_add(1), Relaxed);
            }
        }
        // After the outcome is noted. Of shares that are settled at the same time, exactly one gets the value; `Arc::try_unwrap` could
        // give it to none.
        if let Some(settlement) = into_inner(settlement) {
            settlement.settle();
        }
    }
}

impl SharedSettlement {
    /// Settles the event with the worst outcome of its shares.
    fn settle(self) {
        let delay = self.delayed.load(Relaxed).checked_sub(1);
        let outcome = match (self.failed.into_inner(), delay) {
            (Some(reason), _) => Outcome::Failed(reason),
            (None, Some(nanos)) => Outcome::Delayed(Duration::from_nanos(nanos)),
            (None, None) if self.released.load(Relaxed) => Outcome::Released,
            (None, None) => Outcome::Done,
        };
        let settle = self.settle.into_inner();
        settle.unwrap_or_else(PoisonError::into_inner)(outcome);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.settlement.is_some() {
            let unsettled = "a share of the event was dropped before it was settled";
            self.settle_once(Outcome::Failed(Reason::error(
                Callback::HandleEvents,
                unsettled,
            )));
        }
    }
}
