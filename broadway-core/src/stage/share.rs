//! [`Share`]: one of several parts in the settlement of one event. The last one to end settles it, for all.
//!
//! Nothing is locked and nobody waits: how a share ended is noted in a cell that is written once, and that a share is the last
//! one is what the reference count says. It does so to one of them, once, and only after all others have noted how they
//! ended.
//!
//! `tests/link-model` ends shares in every order.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::{
    ack::Outcome,
    error::{Callback, Reason},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        into_inner,
    },
};

/// A part in the settlement of one event. Dropped unsettled, it has failed.
pub(crate) struct Share {
    /// `None` once it has ended.
    joint: Option<Arc<Joint>>,
}

/// What all shares of an event have in common.
struct Joint {
    /// The first failure.
    failed: OnceLock<Reason>,
    /// Some share was released.
    released: AtomicBool,
    /// Never locked: this makes any function one that threads may share.
    settle: Mutex<Settle>,
}

type Settle = Box<dyn FnOnce(Outcome) + Send>;

impl Share {
    /// The only share as yet.
    pub(crate) fn new(settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        let joint = Joint {
            failed: OnceLock::new(),
            released: AtomicBool::new(false),
            settle: Mutex::new(Box::new(settle)),
        };
        Self {
            joint: Some(Arc::new(joint)),
        }
    }

    /// One more.
    pub(crate) fn another(&self) -> Self {
        Self {
            joint: self.joint.clone(),
        }
    }

    /// It has ended like this.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        let Some(joint) = self.joint.take() else {
            return;
        };
        match outcome {
            Outcome::Done => {}
            Outcome::Failed(reason) => {
                // Only the first failure is told.
                let _ = joint.failed.set(reason);
            }
            Outcome::Released => joint.released.store(true, Relaxed),
        }
        if let Some(joint) = into_inner(joint) {
            joint.settle();
        }
    }
}

impl Joint {
    /// All have ended: the worst end is the end of the event.
    fn settle(self) {
        let outcome = match self.failed.into_inner() {
            Some(reason) => Outcome::Failed(reason),
            None if self.released.load(Relaxed) => Outcome::Released,
            None => Outcome::Done,
        };
        let settle = self.settle.into_inner();
        settle.unwrap_or_else(PoisonError::into_inner)(outcome);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.joint.is_some() {
            let unsettled = "a share of the event was dropped before it was settled";
            self.end(Outcome::Failed(Reason::error(
                Callback::HandleEvents,
                unsettled,
            )));
        }
    }
}
