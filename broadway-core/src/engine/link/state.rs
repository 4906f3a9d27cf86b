//! [`LinkState`]: what the ends of a link share, behind one lock. It knows its ends by id only.

use std::{
    any::Any,
    num::NonZeroU64,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

use super::{
    inlet_state::{DemandMode, InletState},
    outlet_state::{OutletId, OutletState},
    unrequested::Unrequested,
    wake_list::WakeList,
};
use crate::{
    end::End,
    machine::{
        dispatch::{Dispatch, GiveBack, InletId, JoinError, Offered},
        link_bound::LinkBound,
    },
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The state of a link, and its lock.
pub(super) struct SharedLink<T, D> {
    state: Mutex<LinkState<T, D>>,
}

impl<T, D: Dispatch<T>> SharedLink<T, D> {
    /// `is_unrequested` recognizes messages that are sent without having been requested.
    pub(super) fn new(
        dispatch: D,
        bound: Option<LinkBound>,
        is_unrequested: fn(&T) -> bool,
    ) -> Self {
        // Requested before there is any end: the first outlet finds them.
        let requested = bound.map_or(0, |bound| bound.wanted(0, 0));
        let state = LinkState {
            dispatch,
            bound,
            unrequested: Unrequested::new(is_unrequested),
            outlets: Vec::new(),
            outlets_open: 0,
            next_outlet: 0,
            end: End::Normal,
            inlets: Vec::new(),
            inlets_open: 0,
            last_serial: 0,
            complete: false,
            requested,
            unassigned: requested,
            mark_watched: false,
            panic: None,
            busy: 0,
            detached: 0,
            awake: 0,
            service_time_ns: u64::MAX,
            woken: Vec::new(),
        };
        Self {
            state: Mutex::new(state),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, LinkState<T, D>> {
        // Poison is ignored. Two things can panic under this lock: a function of the user's, which dispatchers call before they change
        // anything; or a defect, which is reported where it happens.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a link's ends share.
///
/// Methods that change something do not wake by themselves: the caller calls [`propagate`](Self::propagate) before it releases the
/// lock, and wakes what that collected afterwards.
pub(super) struct LinkState<T, D> {
    pub(super) dispatch: D,
    /// How many messages the link requests. `None`: as many as its inlets demand.
    bound: Option<LinkBound>,
    pub(super) unrequested: Unrequested<T>,
    outlets: Vec<OutletState>,
    outlets_open: usize,
    /// The outlet that gets the next requests, if it waits for some.
    next_outlet: usize,
    /// How the outlet that closed last did so.
    end: End,
    pub(super) inlets: Vec<InletState>,
    inlets_open: usize,
    /// Inlets so far: the serial number of the latest.
    last_serial: u64,
    /// The [`Link`](super::Link) is gone: no more ends will come.
    pub(super) complete: bool,
    /// How many messages are requested and were not offered yet: the unassigned ones, and those outstanding at outlets.
    requested: usize,
    /// How many of them no outlet has been given yet. If there are any, no outlet waits that could be given more.
    unassigned: usize,
    /// A task that waits for demand also waits for a mark to be passed, and is to be woken at the next change.
    pub(super) mark_watched: bool,
    /// A panic of the dispatcher that an outlet is to resume.
    pub(super) panic: Option<Box<dyn Any + Send>>,
    /// How many inlets hold a chunk.
    pub(super) busy: usize,
    /// How many messages are handled on their own, apart from any inlet, and may come back.
    detached: usize,
    /// How many inlets are awake.
    pub(super) awake: usize,
    /// How long a message took lately; `MAX` until that is known.
    pub(super) service_time_ns: u64,
    /// Scratch memory for [`Dispatch::wake`].
    pub(super) woken: Vec<InletId>,
}

impl<T, D: Dispatch<T>> LinkState<T, D> {
    pub(super) fn set_bound(&mut self, bound: LinkBound) {
        debug_assert!(self.bound.is_some(), "a bounded link stays bounded");
        self.bound = Some(bound);
    }

    pub(super) fn add_outlet(&mut self, outlet: OutletState) -> OutletId {
        self.outlets.push(outlet);
        self.outlets_open += 1;
        OutletId(self.outlets.len() - 1)
    }

    /// Adds an inlet with the lowest id that is free. Returns the id, and the serial number that distinguishes this inlet from earlier
    /// ones with that id.
    pub(super) fn add_inlet(
        &mut self,
        options: D::Options,
        demand: DemandMode,
    ) -> Result<(InletId, u64), JoinError> {
        self.last_serial += 1;
        let free = self.inlets.iter().position(|inlet| !inlet.in_use);
        let index = free.unwrap_or(self.inlets.len());
        debug_assert_eq!(
            self.bound.is_some(),
            demand.is_unlimited(),
            "either the link is bounded or its inlets demand"
        );
        let inlet = InletState::new(self.last_serial, demand);
        match free {
            Some(index) => self.inlets[index] = inlet,
            None => self.inlets.push(inlet),
        }
        let id = inlet_id(index);
        if let Err(error) = self.dispatch.join(id, options) {
            self.inlet(id).in_use = false;
            return Err(error);
        }
        self.inlets_open += 1;
        Ok((id, self.last_serial))
    }

    pub(super) fn outlet(&mut self, outlet: OutletId) -> &mut OutletState {
        &mut self.outlets[outlet.0]
    }

    pub(super) fn inlet(&mut self, inlet: InletId) -> &mut InletState {
        &mut self.inlets[inlet.0 as usize]
    }

    pub(super) fn waker(&mut self, inlet: InletId) -> &mut Option<Waker> {
        &mut self.inlet(inlet).waker
    }

    /// Gives the outlet its piece of the unassigned requests, and returns the number that `read` finds there. For an outlet that sends
    /// unrequested messages, returns 1 while few enough of them are buffered.
    pub(super) fn request_from(
        &mut self,
        outlet: OutletId,
        read: fn(&mut OutletState) -> usize,
    ) -> usize {
        let state = &mut self.outlets[outlet.0];
        if state.is_unrequested() {
            return usize::from(self.has_room_for_unrequested());
        }
        state.assign(&mut self.unassigned);
        read(state)
    }

    fn has_room_for_unrequested(&self) -> bool {
        self.bound
            .is_none_or(|bound| self.unrequested.buffered() <= bound.min())
    }

    /// Returns whether no inlet will ever take again. If so, wakes all tasks that wait for demand.
    pub(super) fn is_abandoned(&mut self, wakes: &mut WakeList) -> bool {
        if self.inlets_open > 0 {
            return false;
        }
        // Where inlets demand, they are expected to come and go for as long as the `Link` can make them.
        let abandoned = self.complete || (self.bound.is_some() && !self.inlets.is_empty());
        if abandoned {
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.wake(wakes));
        }
        abandoned
    }

    /// Whether there will never be anything to take for this inlet.
    pub(super) fn is_finished_for(&self, inlet: InletId) -> bool {
        // In a bounded link an inlet that holds a chunk may give it back, and any inlet may take it then.
        let may_come_back = (self.bound.is_some() && self.busy > 0) || self.detached > 0;
        self.has_ended() && !may_come_back && self.dispatch.buffered_for(inlet) == 0
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outlets_open == 0 && (self.complete || !self.outlets.is_empty())
    }

    /// How the last outlet closed.
    pub(super) fn end(&self) -> End {
        self.end.clone()
    }

    /// Passes a change on to the other ends: updates the requests, and wakes inlets that have something to take or have
    /// seen the end. Must be called after every change, under the same lock.
    pub(super) fn propagate(&mut self, wakes: &mut WakeList) {
        self.update_requests(wakes);
        if std::mem::take(&mut self.mark_watched) || self.panic.is_some() {
            self.outlets
                .iter_mut()
                .for_each(|outlet| outlet.wake(wakes));
        }
        self.wake_inlets(wakes);
        if self.has_ended() {
            self.wake_finished(wakes);
        }
    }

    fn wake_finished(&mut self, wakes: &mut WakeList) {
        for index in 0..self.inlets.len() {
            let id = inlet_id(index);
            if self.inlets[index].waker.is_some() && self.is_finished_for(id) {
                wakes.extend(self.inlets[index].waker.take());
            }
        }
    }

    /// Brings the number of requested messages to the number that the bound allows, or that the inlets demand.
    fn update_requests(&mut self, wakes: &mut WakeList) {
        let wanted = match &self.bound {
            Some(bound) => {
                let buffered = self.dispatch.buffered() - self.unrequested.buffered();
                bound.wanted(buffered, self.requested)
            }
            None => self.dispatch.unmet_demand(),
        };
        if wanted > self.requested {
            self.unassigned += wanted - self.requested;
            self.requested = wanted;
            self.assign(wakes);
        } else if wanted < self.requested {
            self.cancel_requests(self.requested - wanted);
        }
    }

    /// Gives the unassigned requests to outlets that wait for some, in turn, and wakes their tasks. Given here and not when a task comes
    /// for them: a quick producer would take all of them each time, before a slower one or a push runs.
    fn assign(&mut self, wakes: &mut WakeList) {
        let (first, count) = (self.next_outlet, self.outlets.len());
        for index in (first..count).chain(0..first) {
            if self.unassigned == 0 {
                return;
            }
            let outlet = &mut self.outlets[index];
            if outlet.has_waits() && outlet.assign(&mut self.unassigned) {
                outlet.wake(wakes);
                self.next_outlet = index + 1;
            }
        }
    }

    /// Takes up to `n` requests back, as far as no task has learned of them: one that has may be serving them.
    fn cancel_requests(&mut self, n: usize) {
        let mut left = n;
        let unassigned = self.unassigned.min(left);
        self.unassigned -= unassigned;
        left -= unassigned;
        for outlet in &mut self.outlets {
            if left == 0 {
                break;
            }
            left -= outlet.take_back(left);
        }
        self.requested -= n - left;
    }

    /// Removes a task's wait for demand, and returns its waker, to be dropped after the lock. Requests that were meant for the last
    /// such task of the outlet go to other outlets.
    pub(super) fn cancel_demand_wait(
        &mut self,
        outlet: OutletId,
        number: u64,
        wakes: &mut WakeList,
    ) -> Option<Waker> {
        let state = self.outlet(outlet);
        let waker = state.cancel_wait(number);
        if !state.has_waits() {
            let given = state.take_back(usize::MAX);
            self.unassigned += given;
            self.assign(wakes);
        }
        waker
    }

    /// Sends all of `events`.
    pub(super) fn offer(&mut self, outlet: OutletId, events: &mut Vec<T>) -> Offered<T> {
        let n = events.len();
        // The dispatcher first: it may call functions of the user's. If one panics, nothing has changed yet. It leaves `events` empty.
        if self.outlets[outlet.0].is_unrequested() {
            self.unrequested.entered(events);
            return self.dispatch.offer(events);
        }
        let offered = self.dispatch.offer(events);
        let state = &mut self.outlets[outlet.0];
        // What it sends without having learned of a request serves one all the same.
        state.assign(&mut self.unassigned);
        self.requested -= state.sent(n);
        offered
    }

    /// Whether the inlet found nothing to take and waits. `None` if the inlet with that serial number no longer exists.
    pub(super) fn is_waiting(&self, inlet: InletId, serial: u64) -> Option<bool> {
        let inlet = &self.inlets[inlet.0 as usize];
        (inlet.in_use && inlet.serial == serial).then(|| inlet.waker.is_some())
    }

    /// Demands `n` more messages for an inlet with manual demand. Returns whether the inlet with that serial number still exists.
    pub(super) fn request_manually(&mut self, inlet: InletId, serial: u64, n: usize) -> bool {
        let state = self.inlet(inlet);
        if !state.in_use || state.serial != serial {
            return false;
        }
        let added = state.demand.add_manually(n);
        self.add_demand(inlet, added);
        true
    }

    fn add_demand(&mut self, inlet: InletId, n: usize) {
        if n > 0 {
            self.guarded(|dispatch| dispatch.demand(inlet, n));
        }
    }

    /// Calls the dispatcher on behalf of an inlet. The dispatcher may call functions that belong to the sending side (`Clone`,
    /// selectors). If one panics, an outlet resumes the panic, instead of the inlet that happened to ask.
    fn guarded(&mut self, call: impl FnOnce(&mut D)) {
        let dispatch = &mut self.dispatch;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(dispatch))) {
            self.panic.get_or_insert(payload);
        }
    }

    /// Wakes an inlet that waits, as it may now take more than when it parked.
    pub(super) fn unpark(&mut self, inlet: InletId, wakes: &mut WakeList) {
        wakes.extend(self.waker(inlet).take());
    }

    /// Counts what the inlet holds, and did not give back, as handled.
    pub(super) fn finish_chunk(&mut self, inlet: InletId) {
        if self.inlets[inlet.0 as usize].held > 0 {
            self.busy -= 1;
            self.dispatch.done(inlet, 0);
            self.request_more(inlet);
        }
    }

    /// Renews the inlet's demand.
    pub(super) fn request_more(&mut self, inlet: InletId) {
        let more = self.inlet(inlet).renew_demand();
        self.add_demand(inlet, more);
    }

    pub(super) fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        wakes: &mut WakeList,
    ) -> usize {
        let max = max.min(self.inlet(inlet).take_max());
        let taken = self.dispatch.take(inlet, max, out);
        if taken > 0 {
            let unrequested = self.unrequested.taken(&out[out.len() - taken..]);
            if unrequested && self.has_room_for_unrequested() {
                let outlets = self.outlets.iter_mut();
                let outlets = outlets.filter(|outlet| outlet.is_unrequested());
                outlets.for_each(|outlet| outlet.wake(wakes));
            }
            self.inlet(inlet).held = taken;
            self.busy += 1;
        }
        self.set_awake(inlet, taken > 0);
        taken
    }

    /// Registers an inlet that found nothing to take. It waits until it is woken for up to `max` messages.
    pub(super) fn park(&mut self, inlet: InletId, max: usize, waker: Waker) {
        let state = self.inlet(inlet);
        let max = max.min(state.take_max());
        state.waker = Some(waker);
        self.dispatch.wait_for(inlet, max);
    }

    /// Registers an inlet that takes nothing now and waits for the end.
    pub(super) fn await_end(&mut self, inlet: InletId, waker: Waker) {
        *self.waker(inlet) = Some(waker);
    }

    /// Removes an inlet. Returns its waker, to be dropped after the lock.
    pub(super) fn remove_inlet(&mut self, inlet: InletId) -> Option<Waker> {
        self.finish_chunk(inlet);
        self.set_awake(inlet, false);
        self.guarded(|dispatch| dispatch.leave(inlet));
        self.inlets_open -= 1;
        let state = self.inlet(inlet);
        state.in_use = false;
        state.waker.take()
    }

    /// Closes an outlet and wakes the tasks that wait for demand on it. Does nothing if it is closed already.
    pub(super) fn close_outlet(&mut self, outlet: OutletId, end: End, wakes: &mut WakeList) {
        let state = self.outlet(outlet);
        if state.close() {
            state.wake(wakes);
            // What this outlet does not send any more counts as not requested: `propagate` requests it anew, from another outlet.
            let cancelled = state.cancel_outstanding();
            self.requested -= cancelled;
            self.outlets_open -= 1;
            self.end = end;
            self.propagate(wakes);
        }
    }
}

impl<T, D: GiveBack<T>> LinkState<T, D> {
    pub(super) fn give_back(&mut self, inlet: InletId, rest: &mut Vec<T>) {
        assert!(
            self.bound.is_some() && rest.len() <= self.inlets[inlet.0 as usize].held,
            "an inlet of a bounded link gives back no more than it holds"
        );
        self.unrequested.entered(rest);
        self.dispatch.give_back(inlet, rest);
        self.set_awake(inlet, false);
    }

    /// Detaches the last `n` messages that the inlet holds; the others were handled, or given back. The inlet still counts as one
    /// that holds a chunk, until it comes back.
    pub(super) fn detach(&mut self, inlet: InletId, n: usize) {
        self.detached += n;
        self.dispatch.detach(inlet);
    }

    /// Counts `n` messages of the inlet's chunk as detached that no inlet need wait for.
    pub(super) fn add_detached(&mut self, n: usize) {
        self.detached += n;
    }

    /// Ends detached messages: they were handled.
    pub(super) fn complete(&mut self, lanes: impl Iterator<Item = Option<NonZeroU64>>) {
        for lane in lanes {
            self.detached -= 1;
            self.dispatch.complete(lane);
        }
    }

    /// Returns detached messages to the front of the queue, in their order.
    pub(super) fn restore(&mut self, messages: &mut Vec<T>) {
        self.unrequested.entered(messages);
        self.detached -= messages.len();
        while let Some(message) = messages.pop() {
            self.dispatch.restore(message);
        }
    }
}

pub(super) fn inlet_id(index: usize) -> InletId {
    InletId(u32::try_from(index).expect("a link has fewer than four billion inlets at a time"))
}
