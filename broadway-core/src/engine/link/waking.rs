//! Which inlets are awake, and which are woken when: the part of [`LinkState`] that saves wakes.

use super::{
    state::{LinkState, inlet_id},
    wake_list::WakeList,
};
use crate::machine::dispatch::{Dispatch, InletId};

/// How much buffered work is worth waking another inlet while one is awake: about twice what the wake costs both threads.
const WAKE_WORTH_NS: u64 = 10_000;

impl<T, D: Dispatch<T>> LinkState<T, D> {
    /// Counts an inlet that found nothing to take as awake with a chunk: it gets one elsewhere.
    pub(super) fn hold_elsewhere(&mut self, inlet: InletId) {
        // How many is not known yet. It may give back any part of them.
        self.inlet(inlet).held = usize::MAX;
        self.busy += 1;
        self.set_awake(inlet, true);
    }

    pub(super) fn is_awake(&self, inlet: InletId) -> bool {
        self.inlets[inlet.0 as usize].awake
    }

    pub(super) fn set_awake(&mut self, inlet: InletId, awake: bool) {
        let before = std::mem::replace(&mut self.inlet(inlet).awake, awake);
        match (before, awake) {
            (false, true) => self.awake += 1,
            (true, false) => self.awake -= 1,
            _ => {}
        }
    }

    /// Records that the task of the inlet waits for something. If the inlet holds a chunk it may not come back soon, so others are
    /// woken for what it would have taken next from the link. With `wakes_idle`, also for what it would have pulled. Returns whether
    /// any inlet is awake.
    pub(super) fn suspended(
        &mut self,
        inlet: InletId,
        wakes_idle: bool,
        wakes: &mut WakeList,
    ) -> bool {
        if self.inlets[inlet.0 as usize].held == 0 {
            // It waits for messages, and is woken for them.
            return true;
        }
        if self.is_awake(inlet) {
            self.set_awake(inlet, false);
            self.wake_inlets(wakes);
        }
        if wakes_idle {
            self.wake_idle(wakes);
        }
        self.awake > 0
    }

    /// Wakes a parked inlet unless an inlet is awake. Returns whether one is awake then.
    pub(super) fn wake_idle(&mut self, wakes: &mut WakeList) -> bool {
        if self.awake == 0 {
            self.wake_parked(wakes);
        }
        self.awake > 0
    }

    /// Returns how many inlets are parked.
    pub(super) fn parked(&self) -> usize {
        let inlets = self.inlets.iter();
        inlets.filter(|inlet| inlet.waker.is_some()).count()
    }

    /// Wakes all parked inlets. Each comes back, takes or parks again; or it leaves, which passes on what it may have been woken for.
    pub(super) fn wake_all(&mut self, wakes: &mut WakeList) {
        for index in 0..self.inlets.len() {
            let id = inlet_id(index);
            if let Some(waker) = self.waker(id).take() {
                self.set_awake(id, true);
                wakes.push(waker);
            }
        }
    }

    /// Wakes a parked inlet, if there is one.
    pub(super) fn wake_parked(&mut self, wakes: &mut WakeList) {
        let parked = self.inlets.iter().position(|inlet| inlet.waker.is_some());
        if let Some(index) = parked {
            let id = inlet_id(index);
            wakes.extend(self.waker(id).take());
            self.set_awake(id, true);
        }
    }

    /// Records how long a message took. A longer time counts at once, so that other inlets come to help; a shorter one gradually.
    pub(super) fn update_service_time(&mut self, sample_ns: u64) {
        self.service_time_ns = match self.service_time_ns {
            u64::MAX => sample_ns,
            before_ns => sample_ns.max(before_ns - before_ns / 4),
        };
    }

    /// Wakes the inlets that have something to take now, if that is worth a wake.
    pub(super) fn wake_inlets(&mut self, wakes: &mut WakeList) {
        let is_worth = is_worth_a_wake(self.service_time_ns, self.dispatch.buffered());
        // Safe to skip only where any inlet may take anything: the awake one comes back and takes the rest.
        if D::ANY_INLET && self.awake > 0 && !is_worth {
            return;
        }
        let mut woken = std::mem::take(&mut self.woken);
        self.dispatch.wake(&mut woken);
        for inlet in woken.drain(..) {
            if let Some(waker) = self.waker(inlet).take() {
                self.set_awake(inlet, true);
                wakes.push(waker);
            }
        }
        self.woken = woken;
    }
}

/// Whether `n` messages are worth waking an inlet while another one is awake.
pub(super) fn is_worth_a_wake(service_time_ns: u64, n: usize) -> bool {
    service_time_ns.saturating_mul(n as u64) >= WAKE_WORTH_NS
}
