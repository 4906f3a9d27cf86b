//! [`Link`], and what its ends share: the hub.

use std::{marker::PhantomData, task::Waker};

use super::{inlet::Inlet, outlet::Outlet, wake_list::WakeList};
use crate::{
    machine::{
        credit::Credit,
        dispatch::{Dispatch, InletId, OutletId},
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
            inlets: Vec::new(),
            inlets_open: 0,
            complete: false,
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
        let mut state = self.hub.lock();
        let id = OutletId(number(state.outlets.len()));
        state.outlets.push(Port::new(credit, piece));
        state.outlets_open += 1;
        drop(state);
        Outlet::new(Arc::clone(&self.hub), id)
    }
}

impl<T, D: Dispatch<T, Seat = ()>> Link<T, D> {
    /// A new receiving end.
    pub(crate) fn inlet(&self) -> Inlet<T, D> {
        let mut state = self.hub.lock();
        let id = state.seat();
        let joined = state.dispatch.join(id, ());
        joined.expect("who has no wishes can't be refused");
        state.inlets_open += 1;
        drop(state);
        Inlet::new(Arc::clone(&self.hub), id)
    }
}

impl<T, D: Dispatch<T>> Drop for Link<T, D> {
    fn drop(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.complete = true;
        state.finished(&mut wakes);
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
        // Nothing panics under this lock but a defect, which is reported where it happens.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct State<T, D> {
    pub(super) dispatch: D,
    outlets: Vec<Port>,
    outlets_open: usize,
    inlets: Vec<Seat>,
    inlets_open: usize,
    /// The [`Link`] is gone: no more ends will come.
    complete: bool,
    /// How many inlets hold a chunk.
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

    /// The lowest number that no inlet has.
    fn seat(&mut self) -> InletId {
        let free = self.inlets.iter().position(|seat| !seat.taken);
        let index = free.unwrap_or(self.inlets.len());
        let seat = Seat {
            taken: true,
            busy: false,
            up: false,
            waker: None,
        };
        match free {
            Some(index) => self.inlets[index] = seat,
            None => self.inlets.push(seat),
        }
        InletId(number(index))
    }

    /// Whether no inlet will come back. If so, everyone who waits for demand is told.
    pub(super) fn abandoned(&mut self, wakes: &mut WakeList) -> bool {
        let abandoned = self.inlets_open == 0 && (self.complete || !self.inlets.is_empty());
        if abandoned {
            self.outlets.iter_mut().for_each(|port| port.wake(wakes));
        }
        abandoned
    }

    /// Whether there will never be anything to take. If so, everyone who waits is told.
    pub(super) fn finished(&mut self, wakes: &mut WakeList) -> bool {
        let ended = self.outlets_open == 0 && (self.complete || !self.outlets.is_empty());
        let finished = ended && self.busy == 0 && self.dispatch.buffered() == 0;
        if finished {
            let wakers = self.inlets.iter_mut().filter_map(|seat| seat.waker.take());
            wakers.for_each(|waker| wakes.push(waker));
        }
        finished
    }

    /// The inlet's last chunk is handled, as far as it was not given back.
    pub(super) fn done(&mut self, inlet: InletId) {
        let seat = &mut self.inlets[inlet.0 as usize];
        if std::mem::take(&mut seat.busy) {
            self.busy -= 1;
            self.dispatch.done(inlet);
        }
    }

    pub(super) fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        wakes: &mut WakeList,
    ) -> usize {
        let outlets = &mut self.outlets;
        let mut freed = |outlet: OutletId, n| outlets[outlet.0 as usize].taken(n, wakes);
        let taken = self.dispatch.take(inlet, max, out, &mut freed);
        if taken > 0 {
            self.inlets[inlet.0 as usize].busy = true;
            self.busy += 1;
        }
        self.set_up(inlet, taken > 0);
        taken
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
        if seat.up && seat.busy {
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
        let mut returned = |outlet: OutletId, n| outlets[outlet.0 as usize].credit.returned(n);
        self.dispatch.give_back(inlet, rest, &mut returned);
        self.set_up(inlet, false);
    }

    /// The inlet is gone. Its waker is handed out, to be dropped after the lock.
    pub(super) fn leave(&mut self, inlet: InletId) -> Option<Waker> {
        self.done(inlet);
        self.set_up(inlet, false);
        self.dispatch.leave(inlet);
        self.inlets_open -= 1;
        let seat = &mut self.inlets[inlet.0 as usize];
        seat.taken = false;
        seat.waker.take()
    }

    /// The outlet is closed. Whoever waits on it is told.
    pub(super) fn close(&mut self, outlet: OutletId, wakes: &mut WakeList) {
        let port = self.port(outlet);
        if std::mem::take(&mut port.open) {
            port.wake(wakes);
            self.outlets_open -= 1;
            self.finished(wakes);
        }
    }

    /// Wakes the inlets that have something to take now, if that is worth it.
    pub(super) fn wake_inlets(&mut self, wakes: &mut WakeList) {
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

/// What the hub knows of an inlet.
struct Seat {
    /// Free seats keep their place for the next inlet.
    taken: bool,
    /// It holds a chunk.
    busy: bool,
    /// It will come back to take without being woken: it was woken already, or is busy and not suspended.
    up: bool,
    waker: Option<Waker>,
}

/// What the hub knows of an outlet.
pub(super) struct Port {
    credit: Credit,
    /// Asked for and not sent yet.
    owed: usize,
    /// The most that is asked for at once.
    piece: usize,
    open: bool,
    waiting: Vec<Waiting>,
    /// Waits so far: numbers them.
    waits: u64,
}

/// One who waits for demand.
struct Waiting {
    number: u64,
    waker: Waker,
}

impl Port {
    fn new(credit: Credit, piece: usize) -> Self {
        Self {
            credit,
            owed: 0,
            piece,
            open: true,
            waiting: Vec::new(),
            waits: 0,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// What the outlet is to send next, counting what it was asked for before.
    pub(super) fn ask(&mut self) -> usize {
        self.owed += self.credit.ask();
        self.owed.min(self.piece)
    }

    /// `n` messages are sent. Those that nobody asked for count against what is asked for next.
    pub(super) fn sent(&mut self, n: usize) {
        debug_assert!(self.open, "nothing is sent on a closed outlet");
        let unasked = n.saturating_sub(self.owed);
        self.owed = self.owed.saturating_sub(n);
        self.credit.returned(unasked);
    }

    fn taken(&mut self, n: usize, wakes: &mut WakeList) {
        self.credit.consumed(n);
        let due = self.owed > 0 || self.credit.pending() <= self.credit.min();
        if due && !self.waiting.is_empty() {
            self.wake(wakes);
        }
    }

    /// Remembers who waits, by the number of its wait if it has one. Returns the number, and the waker that it left before.
    pub(super) fn wait(&mut self, number: Option<u64>, waker: &Waker) -> (u64, Option<Waker>) {
        let known = |waiting: &&mut Waiting| Some(waiting.number) == number;
        if let Some(waiting) = self.waiting.iter_mut().find(known) {
            let same = waiting.waker.will_wake(waker);
            let before = (!same).then(|| std::mem::replace(&mut waiting.waker, waker.clone()));
            return (waiting.number, before);
        }
        self.waits += 1;
        self.waiting.push(Waiting {
            number: self.waits,
            waker: waker.clone(),
        });
        (self.waits, None)
    }

    /// Forgets who waits no more. Others need no wake for it: all are told the same demand.
    pub(super) fn forget(&mut self, number: u64) -> Option<Waker> {
        let at = self
            .waiting
            .iter()
            .position(|waiting| waiting.number == number)?;
        Some(self.waiting.swap_remove(at).waker)
    }

    fn wake(&mut self, wakes: &mut WakeList) {
        for waiting in self.waiting.drain(..) {
            wakes.push(waiting.waker);
        }
    }
}
