//! What a link knows of one outlet: its outstanding requests, and the tasks that wait for demand.

use std::task::Waker;

use super::wake_list::WakeList;
use crate::machine::credit::Credit;

/// One outlet, as the link knows it.
pub(super) struct OutletState {
    /// `None`: an outlet on demand.
    pub(super) credit: Option<Credit>,
    /// Requested from this outlet and not sent yet.
    outstanding: usize,
    /// The most that is requested at once.
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
    pub(super) fn new(credit: Option<Credit>, chunk_max: usize) -> Self {
        Self {
            credit,
            outstanding: 0,
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

    /// Returns how many messages the outlet is to send next, including earlier requests if it has a credit. An outlet on demand
    /// takes all of `unassigned` and returns only that: each request goes to one outlet, the first that comes.
    pub(super) fn request(&mut self, unassigned: &mut usize) -> usize {
        match &mut self.credit {
            Some(credit) => {
                self.outstanding += credit.request();
                self.outstanding.min(self.chunk_max)
            }
            None => {
                let assigned = std::mem::take(unassigned);
                self.outstanding += assigned;
                assigned
            }
        }
    }

    /// Records that `n` messages were sent. Unrequested ones count against the next requests. Returns how many of the inlets'
    /// requests they serve.
    pub(super) fn sent(&mut self, n: usize) -> usize {
        debug_assert!(self.open, "nothing is sent on a closed outlet");
        let requested = n.min(self.outstanding);
        self.outstanding -= requested;
        match &mut self.credit {
            Some(credit) => {
                credit.returned(n - requested);
                0
            }
            None => requested,
        }
    }

    /// Returns how many messages were sent and not taken. 0 for an outlet on demand.
    pub(super) fn waiting(&self) -> usize {
        let pending = self.credit.as_ref().map_or(0, Credit::pending);
        pending.saturating_sub(self.outstanding)
    }

    /// Returns how many of the inlets' requests this outlet will not serve any more, and forgets them.
    pub(super) fn cancel_outstanding(&mut self) -> usize {
        match self.credit {
            Some(_) => 0,
            None => std::mem::take(&mut self.outstanding),
        }
    }

    /// Records that inlets took `n` of its messages.
    pub(super) fn taken(&mut self, n: usize, wakes: &mut WakeList) {
        let Some(credit) = &mut self.credit else {
            return;
        };
        credit.consumed(n);
        let has_demand = self.outstanding > 0 || credit.pending() <= credit.min();
        if has_demand && !self.waits.is_empty() {
            self.wake(wakes);
        }
    }

    /// Records that `n` of its messages were given back.
    pub(super) fn given_back(&mut self, n: usize) {
        if let Some(credit) = &mut self.credit {
            credit.returned(n);
        }
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
