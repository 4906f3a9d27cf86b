//! What a link knows of one outlet: its outstanding requests, and the tasks that wait for demand.

use std::task::Waker;

use super::wake_list::WakeList;

/// Identifies an outlet of a link. Not reused: a closed outlet keeps its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutletId(pub(super) usize);

/// One outlet, as the link knows it.
pub(super) struct OutletState {
    /// Requested from this outlet and not sent yet.
    outstanding: usize,
    /// How many of them no task has learned of yet.
    untold: usize,
    /// The most that may be outstanding. 0: what it sends is never requested.
    chunk_max: usize,
    open: bool,
    waits: Vec<DemandWait>,
    /// Waits so far: the last number that was given to one.
    last_wait: u64,
}

/// A task that waits for demand.
struct DemandWait {
    number: u64,
    waker: Waker,
}

impl OutletState {
    pub(super) fn new(chunk_max: usize) -> Self {
        Self {
            outstanding: 0,
            untold: 0,
            chunk_max,
            open: true,
            waits: Vec::new(),
            last_wait: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Returns whether it was open.
    pub(super) fn close(&mut self) -> bool {
        std::mem::take(&mut self.open)
    }

    /// Whether it sends messages that were not requested.
    pub(super) fn is_unrequested(&self) -> bool {
        self.chunk_max == 0
    }

    /// Whether a task waits for demand.
    pub(super) fn has_waits(&self) -> bool {
        !self.waits.is_empty()
    }

    /// Moves as many requests to this outlet as it may have outstanding. Returns whether that was any.
    pub(super) fn assign(&mut self, unassigned: &mut usize) -> bool {
        let n = (*unassigned).min(self.chunk_max - self.outstanding);
        *unassigned -= n;
        self.outstanding += n;
        self.untold += n;
        n > 0
    }

    /// Takes back up to `max` requests that no task has learned of. Returns how many.
    pub(super) fn take_back(&mut self, max: usize) -> usize {
        let n = self.untold.min(max);
        self.untold -= n;
        self.outstanding -= n;
        n
    }

    /// Returns how many messages are requested that no task had learned of: the caller now does.
    pub(super) fn learn_new(&mut self) -> usize {
        std::mem::take(&mut self.untold)
    }

    /// Returns how many messages are requested and not sent, whether a task has learned of them or not.
    pub(super) fn learn_all(&mut self) -> usize {
        self.untold = 0;
        self.outstanding
    }

    /// Records that `n` messages were sent. Returns how many of them had been requested.
    pub(super) fn sent(&mut self, n: usize) -> usize {
        debug_assert!(self.open, "nothing is sent on a closed outlet");
        let served = n.min(self.outstanding);
        self.outstanding -= served;
        self.untold = self.untold.min(self.outstanding);
        served
    }

    /// Forgets all outstanding requests. Returns how many messages that is.
    pub(super) fn cancel_outstanding(&mut self) -> usize {
        self.untold = 0;
        std::mem::take(&mut self.outstanding)
    }

    /// Registers a task that waits for demand, or updates its waker if `number` is a known wait. Returns the wait's number, and the
    /// waker that was replaced.
    pub(super) fn wait(&mut self, number: Option<u64>, waker: &Waker) -> (u64, Option<Waker>) {
        let known = |wait: &&mut DemandWait| Some(wait.number) == number;
        if let Some(wait) = self.waits.iter_mut().find(known) {
            let same = wait.waker.will_wake(waker);
            let before = (!same).then(|| std::mem::replace(&mut wait.waker, waker.clone()));
            return (wait.number, before);
        }
        self.last_wait += 1;
        self.waits.push(DemandWait {
            number: self.last_wait,
            waker: waker.clone(),
        });
        (self.last_wait, None)
    }

    /// Removes a wait. Other waits need no wake for it: all of them see the same demand.
    pub(super) fn cancel_wait(&mut self, number: u64) -> Option<Waker> {
        let at = self.waits.iter().position(|wait| wait.number == number)?;
        Some(self.waits.swap_remove(at).waker)
    }

    pub(super) fn wake(&mut self, wakes: &mut WakeList) {
        for wait in self.waits.drain(..) {
            wakes.push(wait.waker);
        }
    }
}
