//! [`Link`], and what its ends share: the hub.

use std::{
    any::Any,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

use super::{
    inlet::Inlet,
    outlet::Outlet,
    port::{Flow, Port, Seat},
    wake_list::WakeList,
};
use crate::{
    end::End,
    machine::{
        credit::Credit,
        dispatch::{Dispatch, InletId, JoinError, Offered, OutletId},
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How much buffered work is worth waking another inlet while one is up: about twice what the wake costs both threads. An
/// empty handler with chunks of 10 costs 137 ns a message without this, 110 with it.
const WAKE_WORTH_NS: u64 = 10_000;

/// A link in the making: gives outlets and inlets.
pub(crate) struct Link<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
}

impl<T, D: Dispatch<T>> Link<T, D> {
    pub(crate) fn new(dispatch: D) -> Self {
        let state = State {
            dispatch,
            outlets: Vec::new(),
            outlets_open: 0,
            end: End::Normal,
            inlets: Vec::new(),
            inlets_open: 0,
            serials: 0,
            complete: false,
            ordered: 0,
            due: 0,
            watched: false,
            panic: None,
            busy: 0,
            up: 0,
            pace_ns: u64::MAX,
            woken: Vec::new(),
            item: PhantomData,
        };
        Self {
            hub: Arc::new(Hub {
                state: Mutex::new(state),
            }),
        }
    }

    /// A new sending end, which is asked for up to `credit.max()` messages ahead, at most `piece` of them at once: a
    /// `Vec` of the size that an inlet takes changes hands without being copied.
    pub(crate) fn outlet(&self, credit: Credit, piece: usize) -> Outlet<T, D> {
        self.add_outlet(Port::new(Some(credit), piece))
    }

    /// A new sending end, which is asked for what the inlets want.
    pub(crate) fn outlet_to_order(&self) -> Outlet<T, D> {
        self.add_outlet(Port::new(None, usize::MAX))
    }

    fn add_outlet(&self, port: Port) -> Outlet<T, D> {
        let mut state = self.hub.lock();
        let id = OutletId(number(state.outlets.len()));
        state.outlets.push(port);
        state.outlets_open += 1;
        drop(state);
        Outlet::new(Arc::clone(&self.hub), id)
    }

    /// A new receiving end, which takes what `flow` allows and asks for it.
    ///
    /// # Errors
    ///
    /// The dispatcher has no such seat, or it is taken.
    pub(crate) fn subscribe(&self, seat: D::Options, flow: Flow) -> Result<Inlet<T, D>, JoinError> {
        self.join_and(State::ask_again, seat, flow)
    }

    /// As [`subscribe`](Self::subscribe), but nothing is asked for before [`Inlet::begin`].
    ///
    /// # Errors
    ///
    /// As `subscribe`.
    pub(crate) fn join(&self, seat: D::Options, flow: Flow) -> Result<Inlet<T, D>, JoinError> {
        self.join_and(|_, _| {}, seat, flow)
    }

    fn join_and(
        &self,
        then: fn(&mut State<T, D>, InletId),
        seat: D::Options,
        flow: Flow,
    ) -> Result<Inlet<T, D>, JoinError> {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let (id, serial) = state.seat(flow);
        if let Err(error) = state.dispatch.join(id, seat) {
            state.inlets[id.0 as usize].taken = false;
            return Err(error);
        }
        state.inlets_open += 1;
        then(&mut state, id);
        state.changed(&mut wakes);
        drop(state);
        wakes.wake();
        Ok(Inlet::new(Arc::clone(&self.hub), id, serial))
    }

    /// How many messages wait to be taken.
    pub(crate) fn buffered(&self) -> usize {
        self.hub.lock().dispatch.buffered()
    }

    /// How the sending side ended, if it has. What is buffered may still be there to take.
    pub(crate) fn end(&self) -> Option<End> {
        let state = self.hub.lock();
        state.ended().then(|| state.end())
    }
}

impl<T, D: Dispatch<T, Options = ()>> Link<T, D> {
    /// A new receiving end, which takes whatever is there.
    pub(crate) fn inlet(&self) -> Inlet<T, D> {
        let joined = self.subscribe((), Flow::Any);
        joined.expect("who has no wishes can't be refused")
    }
}

impl<T, D: Dispatch<T>> Drop for Link<T, D> {
    fn drop(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.complete = true;
        state.changed(&mut wakes);
        state.abandoned(&mut wakes);
        drop(state);
        wakes.wake();
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("a link has fewer than four billion ends over its life")
}

pub(super) struct Hub<T, D> {
    state: Mutex<State<T, D>>,
}

impl<T, D: Dispatch<T>> Hub<T, D> {
    pub(super) fn lock(&self) -> MutexGuard<'_, State<T, D>> {
        // What panics under this lock is a function of the user's, which dispatchers call before they change anything; or a
        // defect, which is reported where it happens.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct State<T, D> {
    pub(super) dispatch: D,
    outlets: Vec<Port>,
    outlets_open: usize,
    /// How the outlet that closed last did so.
    end: End,
    inlets: Vec<Seat>,
    inlets_open: usize,
    /// Inlets so far: numbers them.
    serials: u64,
    /// The [`Link`] is gone: no more ends will come.
    complete: bool,
    /// How many messages were ordered by the inlets and not offered yet: what is due, and what outlets were told and owe.
    ordered: usize,
    /// How many of them no outlet was told of yet.
    due: usize,
    /// Who waits for demand wants to know of the next change.
    pub(super) watched: bool,
    /// What a panic left that an outlet is to be told of.
    pub(super) panic: Option<Box<dyn Any + Send>>,
    /// How many inlets hold a chunk that they may give back.
    busy: usize,
    /// How many inlets are up.
    up: usize,
    /// What one message took lately; `MAX` as long as nobody knows.
    pace_ns: u64,
    /// Scratch for the dispatcher's answers.
    woken: Vec<InletId>,
    item: PhantomData<fn() -> T>,
}

impl<T, D: Dispatch<T>> State<T, D> {
    pub(super) fn port(&mut self, outlet: OutletId) -> &mut Port {
        &mut self.outlets[outlet.0 as usize]
    }

    pub(super) fn waker(&mut self, inlet: InletId) -> &mut Option<Waker> {
        &mut self.inlets[inlet.0 as usize].waker
    }

    /// What the outlet is to send next.
    pub(super) fn ask(&mut self, outlet: OutletId) -> usize {
        self.outlets[outlet.0 as usize].ask(&mut self.due)
    }

    /// A seat at the lowest number that no inlet has, and what tells it from those that had it before.
    fn seat(&mut self, flow: Flow) -> (InletId, u64) {
        self.serials += 1;
        let free = self.inlets.iter().position(|seat| !seat.taken);
        let index = free.unwrap_or(self.inlets.len());
        let seat = Seat::new(self.serials, flow);
        match free {
            Some(index) => self.inlets[index] = seat,
            None => self.inlets.push(seat),
        }
        (InletId(number(index)), self.serials)
    }

    /// Whether no inlet will come back. If so, everyone who waits for demand is told.
    pub(super) fn abandoned(&mut self, wakes: &mut WakeList) -> bool {
        if self.inlets_open > 0 {
            return false;
        }
        // Where inlets come and go, others may come as long as somebody can make them.
        let to_order = self.outlets.iter().any(|port| port.credit.is_none());
        let abandoned = self.complete || (!to_order && !self.inlets.is_empty());
        if abandoned {
            self.outlets.iter_mut().for_each(|port| port.wake(wakes));
        }
        abandoned
    }

    /// Whether there will never be anything to take for this inlet.
    pub(super) fn finished_for(&self, inlet: InletId) -> bool {
        // Who holds a chunk may give it back, to be taken by any inlet.
        let may_come_back = D::ANY_INLET && self.busy > 0;
        self.ended() && !may_come_back && self.dispatch.buffered_for(inlet) == 0
    }

    fn ended(&self) -> bool {
        self.outlets_open == 0 && (self.complete || !self.outlets.is_empty())
    }

    /// How the last outlet closed.
    pub(super) fn end(&self) -> End {
        self.end.clone()
    }

    /// To be called after every change: orders what inlets want, wakes who has something to take, tells who has nothing to
    /// wait for.
    pub(super) fn changed(&mut self, wakes: &mut WakeList) {
        self.order(wakes);
        if std::mem::take(&mut self.watched) || self.panic.is_some() {
            self.outlets.iter_mut().for_each(|port| port.wake(wakes));
        }
        self.wake_inlets(wakes);
        if self.ended() {
            self.wake_finished(wakes);
        }
    }

    fn wake_finished(&mut self, wakes: &mut WakeList) {
        for index in 0..self.inlets.len() {
            if self.inlets[index].waker.is_some() && self.finished_for(InletId(number(index))) {
                wakes.extend(self.inlets[index].waker.take());
            }
        }
    }

    /// Orders what is wanted beyond what is on order, or takes back what is not wanted any more and nobody was told of.
    fn order(&mut self, wakes: &mut WakeList) {
        let wanted = self.dispatch.unmet_demand();
        if wanted > self.ordered {
            self.due += wanted - self.ordered;
            self.ordered = wanted;
            self.outlets.iter_mut().for_each(|port| port.wake(wakes));
        } else {
            let back = self.due.min(self.ordered - wanted);
            self.due -= back;
            self.ordered -= back;
        }
    }

    /// All of `events` are sent.
    pub(super) fn offer(&mut self, outlet: OutletId, events: &mut Vec<T>) -> Offered<T> {
        let n = events.len();
        // First: functions of the user may panic in it, and nothing has changed then.
        let offered = self.dispatch.offer(outlet, events);
        let asked = self.port(outlet).sent(n);
        self.ordered -= asked;
        offered
    }

    /// Whether the inlet came in vain and waits. `None`: it is not the one of that serial number any more.
    pub(super) fn waits(&self, inlet: InletId, serial: u64) -> Option<bool> {
        let seat = &self.inlets[inlet.0 as usize];
        (seat.taken && seat.serial == serial).then(|| seat.waker.is_some())
    }

    /// Asks for `n` more by hand, if the inlet is still the one of that serial number.
    pub(super) fn ask_by_hand(&mut self, inlet: InletId, serial: u64, n: usize) -> bool {
        let seat = &mut self.inlets[inlet.0 as usize];
        if !seat.taken || seat.serial != serial {
            return false;
        }
        let asked = seat.flow.ask(n);
        self.demand(inlet, asked);
        true
    }

    fn demand(&mut self, inlet: InletId, n: usize) {
        if n > 0 {
            self.guarded(|dispatch| dispatch.demand(inlet, n));
        }
    }

    /// Calls the dispatcher for an inlet. It may call functions that belong to the sending side (`Clone`, selectors): if one
    /// panics, an outlet is told, and not who happened to ask.
    fn guarded(&mut self, call: impl FnOnce(&mut D)) {
        let dispatch = &mut self.dispatch;
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(dispatch))) {
            self.panic.get_or_insert(payload);
        }
    }

    /// The waker of an inlet that waits, to be called as it may take more than it thought.
    pub(super) fn recall(&mut self, inlet: InletId, wakes: &mut WakeList) {
        wakes.extend(self.inlets[inlet.0 as usize].waker.take());
    }

    /// The inlet's last chunk is handled, as far as it was not given back.
    pub(super) fn done(&mut self, inlet: InletId) {
        let seat = &self.inlets[inlet.0 as usize];
        if seat.held > 0 {
            self.busy -= usize::from(seat.flow.may_give_back());
            self.dispatch.done(inlet);
            self.ask_again(inlet);
        }
    }

    pub(super) fn ask_again(&mut self, inlet: InletId) {
        let asked = self.inlets[inlet.0 as usize].handled();
        self.demand(inlet, asked);
    }

    pub(super) fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        wakes: &mut WakeList,
    ) -> usize {
        let max = max.min(self.inlets[inlet.0 as usize].limit());
        let outlets = &mut self.outlets;
        let mut freed = |outlet: OutletId, n| outlets[outlet.0 as usize].taken(n, wakes);
        let taken = self.dispatch.take(inlet, max, out, &mut freed);
        if taken > 0 {
            let seat = &mut self.inlets[inlet.0 as usize];
            seat.held = taken;
            self.busy += usize::from(seat.flow.may_give_back());
        }
        self.set_up(inlet, taken > 0);
        taken
    }

    /// Nothing is there for the inlet: it sleeps until there is.
    pub(super) fn sleep(&mut self, inlet: InletId, max: usize, waker: Waker) {
        let seat = &mut self.inlets[inlet.0 as usize];
        let max = max.min(seat.limit());
        seat.waker = Some(waker);
        self.dispatch.wait_for(inlet, max);
    }

    /// The inlet takes nothing now, and wants to know of the end.
    pub(super) fn await_end(&mut self, inlet: InletId, waker: Waker) {
        self.inlets[inlet.0 as usize].waker = Some(waker);
    }

    pub(super) fn is_up(&self, inlet: InletId) -> bool {
        self.inlets[inlet.0 as usize].up
    }

    pub(super) fn set_up(&mut self, inlet: InletId, up: bool) {
        let seat = &mut self.inlets[inlet.0 as usize];
        match (std::mem::replace(&mut seat.up, up), up) {
            (false, true) => self.up += 1,
            (true, false) => self.up -= 1,
            _ => {}
        }
    }

    /// The task of the inlet waits for something else. If the inlet holds a chunk, it may not come back soon.
    pub(super) fn suspended(&mut self, inlet: InletId, wakes: &mut WakeList) {
        let seat = &self.inlets[inlet.0 as usize];
        if seat.up && seat.held > 0 {
            self.set_up(inlet, false);
            self.wake_inlets(wakes);
        }
    }

    /// Enters what a message took: slower at once, so that help comes, and quicker by and by.
    pub(super) fn set_pace(&mut self, sample_ns: u64) {
        self.pace_ns = match self.pace_ns {
            u64::MAX => sample_ns,
            pace_ns => sample_ns.max(pace_ns - pace_ns / 4),
        };
    }

    pub(super) fn give_back(&mut self, inlet: InletId, rest: &mut Vec<T>) {
        let outlets = &mut self.outlets;
        let mut returned = |outlet: OutletId, n| outlets[outlet.0 as usize].returned(n);
        self.dispatch.give_back(inlet, rest, &mut returned);
        self.set_up(inlet, false);
    }

    /// The inlet is gone. Its waker is handed out, to be dropped after the lock.
    pub(super) fn leave(&mut self, inlet: InletId) -> Option<Waker> {
        self.done(inlet);
        self.set_up(inlet, false);
        self.guarded(|dispatch| dispatch.leave(inlet));
        self.inlets_open -= 1;
        let seat = &mut self.inlets[inlet.0 as usize];
        seat.taken = false;
        seat.waker.take()
    }

    /// The outlet is closed. Whoever waits on it is told.
    pub(super) fn close(&mut self, outlet: OutletId, end: End, wakes: &mut WakeList) {
        let port = self.port(outlet);
        if port.close() {
            port.wake(wakes);
            // Another outlet may have it.
            let renounced = port.renounce();
            self.ordered -= renounced;
            self.outlets_open -= 1;
            self.end = end;
            self.changed(wakes);
        }
    }

    /// Wakes the inlets that have something to take now, if that is worth it.
    fn wake_inlets(&mut self, wakes: &mut WakeList) {
        let work_ns = self.pace_ns.saturating_mul(self.dispatch.buffered() as u64);
        if D::ANY_INLET && self.up > 0 && work_ns < WAKE_WORTH_NS {
            return;
        }
        let mut woken = std::mem::take(&mut self.woken);
        self.dispatch.wake(&mut woken);
        for inlet in woken.drain(..) {
            if let Some(waker) = self.inlets[inlet.0 as usize].waker.take() {
                self.set_up(inlet, true);
                wakes.push(waker);
            }
        }
        self.woken = woken;
    }
}
