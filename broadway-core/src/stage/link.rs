//! Links between stages: [`Outlet`] and [`Inlet`] over one shared hub, pulled.
//!
//! A hub is a short synchronous lock around a dispatcher (a pure machine that holds what is buffered and decides who gets
//! it), the credit of each outlet, and the wakers of who waits. An inlet *pulls*: [`Inlet::take`] says that the chunk before
//! is handled, and moves what is there, up to its demand, into a `Vec` that the caller owns and uses again. If nothing is
//! there the inlet leaves its demand and a waker. An outlet waits for [`Outlet::demand`], then sends a whole `Vec`. Coming
//! back for more is the ask; not coming back is the back-pressure.
//!
//! **Demand.** Each outlet has a credit of `max` messages: what it was asked for and has not been taken by an inlet yet. When
//! no more than `min` of it is outstanding, the outlet is asked for the rest, so a producer is woken once per `max - min`
//! messages and not once per message. Buffered messages are thus bounded by the sum of the outlets' `max`, plus one `Vec`
//! for each concurrent sender that sends more than it was asked for.
//!
//! **Ending.** A link has ended when every outlet is closed; an inlet learns it when nothing is buffered and no other inlet
//! holds a chunk, which it could still give back. Whoever subscribes later learns it at once. An outlet learns that the last
//! inlet is gone from [`Outlet::demand`].
//!
//! **Waking.** Wakers are collected under the lock and woken after it. A [`Take`] that is dropped while it waits passes a
//! wake that it may have received on to others, so no wake is lost.
//!
//! Waking a thread costs some microseconds. So while an inlet is *up* (woken, or busy with a chunk and not suspended) others
//! are woken only for work that is worth it: [`WAKE_WORTH_NS`] by the pace of the chunks before, as [`Inlet::pace`] tells it.
//! An inlet that is up comes back and takes the rest; one that suspends counts as down at once ([`attended`]). What remains is
//! a handler that suddenly blocks its thread: behind it messages may wait that its pace had called a matter of microseconds.
//! Before any pace is known, everything is worth a wake.

mod presence;
#[cfg(test)]
mod tests;

use std::{
    future::poll_fn,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

pub(crate) use presence::{Presence, attended};

use super::{timer, wake_list::WakeList};
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
pub(crate) struct Link<T, D> {
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
            busy: 0,
            up: 0,
            pace_ns: u64::MAX,
            woken: Vec::new(),
            item: std::marker::PhantomData,
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
        let id = OutletId(index_of(state.outlets.len()));
        state.outlets.push(Port {
            credit,
            owed: 0,
            piece,
            waiting: Vec::new(),
            open: true,
        });
        state.outlets_open += 1;
        drop(state);
        Outlet {
            hub: Arc::clone(&self.hub),
            id,
        }
    }

    /// A new receiving end.
    pub(crate) fn inlet(&self) -> Inlet<T, D> {
        let mut state = self.hub.lock();
        let id = InletId(index_of(state.inlets.len()));
        state.inlets.push(Seat {
            waker: None,
            busy: false,
            up: false,
        });
        state.inlets_open += 1;
        state.dispatch.join(id);
        drop(state);
        Inlet {
            hub: Arc::clone(&self.hub),
            id,
            pace_ns: None,
            waited: true,
        }
    }
}

fn index_of(len: usize) -> u32 {
    u32::try_from(len).expect("a link has fewer than four billion ends over its life")
}

struct Hub<T, D> {
    state: Mutex<State<T, D>>,
}

struct State<T, D> {
    dispatch: D,
    outlets: Vec<Port>,
    outlets_open: usize,
    inlets: Vec<Seat>,
    inlets_open: usize,
    /// How many inlets hold a chunk.
    busy: usize,
    /// How many inlets are up.
    up: usize,
    /// What one message took lately; `MAX` as long as nobody knows.
    pace_ns: u64,
    /// Scratch for the dispatcher's answers.
    woken: Vec<InletId>,
    item: std::marker::PhantomData<fn() -> T>,
}

/// What the hub knows of an outlet.
struct Port {
    credit: Credit,
    /// Asked for and not sent yet.
    owed: usize,
    /// The most that is asked for at once.
    piece: usize,
    waiting: Vec<Waker>,
    open: bool,
}

/// What the hub knows of an inlet.
struct Seat {
    waker: Option<Waker>,
    busy: bool,
    /// Will come back to take without being woken: it was woken already, or is busy and not suspended.
    up: bool,
}

impl<T, D: Dispatch<T>> Hub<T, D> {
    fn lock(&self) -> MutexGuard<'_, State<T, D>> {
        // Nothing panics under this lock but a defect, which is reported where it happens.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, D: Dispatch<T>> State<T, D> {
    fn ended(&self) -> bool {
        self.outlets_open == 0 && !self.outlets.is_empty()
    }

    fn abandoned(&self) -> bool {
        self.inlets_open == 0 && !self.inlets.is_empty()
    }

    /// The inlet's last chunk is handled, as far as it was not given back.
    fn done(&mut self, inlet: InletId) {
        let seat = &mut self.inlets[inlet.0 as usize];
        if std::mem::take(&mut seat.busy) {
            self.busy -= 1;
            self.dispatch.done(inlet);
        }
    }

    fn take(
        &mut self,
        inlet: InletId,
        max: usize,
        out: &mut Vec<T>,
        wakes: &mut WakeList,
    ) -> usize {
        let outlets = &mut self.outlets;
        let taken = self
            .dispatch
            .take(inlet, max, out, &mut |outlet: OutletId, n| {
                let port = &mut outlets[outlet.0 as usize];
                port.credit.consumed(n);
                port.wake_if_asked(wakes);
            });
        if taken > 0 {
            self.inlets[inlet.0 as usize].busy = true;
            self.busy += 1;
        }
        self.set_up(inlet, taken > 0);
        taken
    }

    fn set_up(&mut self, inlet: InletId, up: bool) {
        let seat = &mut self.inlets[inlet.0 as usize];
        match (std::mem::replace(&mut seat.up, up), up) {
            (false, true) => self.up += 1,
            (true, false) => self.up -= 1,
            _ => {}
        }
    }

    /// Enters what a message took: slower at once, so that help comes, and quicker by and by.
    fn set_pace(&mut self, sample_ns: u64) {
        self.pace_ns = match self.pace_ns {
            u64::MAX => sample_ns,
            pace_ns => sample_ns.max(pace_ns - pace_ns / 4),
        };
    }

    /// Wakes the inlets that have something to take now, if that is worth it.
    fn wake_inlets(&mut self, wakes: &mut WakeList) {
        let work_ns = self.pace_ns.saturating_mul(self.dispatch.buffered() as u64);
        if self.up > 0 && work_ns < WAKE_WORTH_NS {
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

    /// Whether there will never be anything to take. If so, everyone who waits is told.
    fn finished(&mut self, wakes: &mut WakeList) -> bool {
        let finished = self.ended() && self.busy == 0 && self.dispatch.buffered() == 0;
        if finished {
            self.inlets
                .iter_mut()
                .filter_map(|seat| seat.waker.take())
                .for_each(|waker| wakes.push(waker));
        }
        finished
    }
}

impl Port {
    /// What the outlet is to send next, counting what it was asked for before.
    fn ask(&mut self) -> usize {
        self.owed += self.credit.ask();
        self.owed.min(self.piece)
    }

    fn wake_if_asked(&mut self, wakes: &mut WakeList) {
        if !self.waiting.is_empty() && (self.owed > 0 || self.credit.pending() <= self.credit.min())
        {
            wakes.extend(&mut self.waiting);
        }
    }
}

/// The sending end of a link. Closed by [`close`](Self::close) or drop.
pub(crate) struct Outlet<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
    id: OutletId,
}

impl<T, D: Dispatch<T>> Outlet<T, D> {
    /// Waits until messages are asked for, and says how many. `None`: no inlet is left.
    ///
    /// Several tasks may wait on one outlet; all are told the same demand, so together they may exceed it by one `Vec` each.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken.
    pub(crate) async fn demand(&self) -> Option<NonZeroUsize> {
        poll_fn(|cx| self.poll_demand(cx)).await
    }

    fn poll_demand(&self, cx: &mut Context<'_>) -> Poll<Option<NonZeroUsize>> {
        let mut state = self.hub.lock();
        if state.abandoned() {
            return Poll::Ready(None);
        }
        let port = &mut state.outlets[self.id.0 as usize];
        if let Some(demand) = NonZeroUsize::new(port.ask()) {
            return Poll::Ready(Some(demand));
        }
        if !port.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            port.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Sends all of `events` and leaves the `Vec` empty. Never waits: wait for [`demand`](Self::demand) before.
    pub(crate) fn send(&self, events: &mut Vec<T>) {
        if events.is_empty() {
            return;
        }
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let port = &mut state.outlets[self.id.0 as usize];
        debug_assert!(port.open, "nothing is sent on a closed outlet");
        let unasked = events.len().saturating_sub(port.owed);
        port.owed = port.owed.saturating_sub(events.len());
        port.credit.returned(unasked);
        // Pipelines dispatch by demand and by lanes, which place everything.
        let _ = state.dispatch.offer(self.id, events);
        state.wake_inlets(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Says that nothing more comes from this outlet. Harmless when repeated.
    pub(crate) fn close(&self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        if std::mem::take(&mut state.outlets[self.id.0 as usize].open) {
            state.outlets_open -= 1;
            state.finished(&mut wakes);
        }
        drop(state);
        wakes.wake();
    }
}

impl<T, D: Dispatch<T>> Drop for Outlet<T, D> {
    fn drop(&mut self) {
        self.close();
    }
}

/// The receiving end of a link. Dropping it cancels: what it held unhandled is gone, what was buffered goes to others.
pub(crate) struct Inlet<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
    id: InletId,
    /// To be entered with the next take.
    pace_ns: Option<u64>,
    /// Whether the last take had to wait.
    waited: bool,
}

impl<T, D: Dispatch<T>> Inlet<T, D> {
    /// Says that `n` messages took `elapsed`.
    pub(crate) fn pace(&mut self, n: usize, elapsed: Duration) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.pace_ns = elapsed_ns.checked_div(n as u64);
    }

    /// When the chunk at hand was taken, if `before` is when the one before was done: then, if nobody had to wait for it. Saves a
    /// look at the clock, which costs as much as two messages.
    pub(crate) fn taken_at(&self, before: Option<Instant>) -> Instant {
        match before {
            Some(before) if !self.waited => before,
            _ => timer::now(),
        }
    }

    /// For [`attended`].
    pub(crate) fn presence(&self) -> Presence<T, D> {
        Presence {
            hub: Arc::clone(&self.hub),
            id: self.id,
        }
    }

    /// Says that what was taken before is handled, and waits for between one and `max` messages, which are appended to
    /// `out`. `false`: the link has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken before it completes.
    pub(crate) fn take<'a>(&'a mut self, max: usize, out: &'a mut Vec<T>) -> Take<'a, T, D> {
        self.waited = false;
        Take {
            inlet: self,
            max,
            out,
            waiting: false,
        }
    }

    /// Says that what was taken before is handled, except its last message.
    pub(crate) fn keep_last(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.dispatch.keep_last(self.id);
        state.wake_inlets(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Returns the tail of what was taken last, in its order, so that others take it; it goes to the front.
    pub(crate) fn give_back(&mut self, rest: &mut Vec<T>) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let State {
            dispatch, outlets, ..
        } = &mut *state;
        dispatch.give_back(self.id, rest, &mut |outlet, n| {
            outlets[outlet.0 as usize].credit.returned(n)
        });
        state.set_up(self.id, false);
        state.wake_inlets(&mut wakes);
        drop(state);
        wakes.wake();
    }
}

impl<T, D: Dispatch<T>> Drop for Inlet<T, D> {
    fn drop(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.done(self.id);
        state.set_up(self.id, false);
        state.dispatch.leave(self.id);
        state.inlets[self.id.0 as usize].waker = None;
        state.inlets_open -= 1;
        state.wake_inlets(&mut wakes);
        state.finished(&mut wakes);
        if state.abandoned() {
            state
                .outlets
                .iter_mut()
                .for_each(|port| wakes.extend(&mut port.waiting));
        }
        drop(state);
        wakes.wake();
    }
}

/// The future of [`Inlet::take`].
pub(crate) struct Take<'a, T, D: Dispatch<T>> {
    inlet: &'a mut Inlet<T, D>,
    max: usize,
    out: &'a mut Vec<T>,
    waiting: bool,
}

impl<T, D: Dispatch<T>> Future for Take<'_, T, D> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = self.get_mut();
        let mut wakes = WakeList::default();
        let mut state = this.inlet.hub.lock();
        let id = this.inlet.id;
        // Not up: it suspended since it took last, so time went by that is not work.
        this.inlet.waited |= !state.inlets[id.0 as usize].up;
        state.done(id);
        if let Some(sample_ns) = this.inlet.pace_ns.take() {
            state.set_pace(sample_ns);
        }
        state.inlets[id.0 as usize].waker = None;
        let taken = state.take(id, this.max, this.out, &mut wakes);
        let polled = if taken > 0 {
            Poll::Ready(true)
        } else if state.finished(&mut wakes) {
            Poll::Ready(false)
        } else {
            state.dispatch.ask(id, this.max);
            state.inlets[id.0 as usize].waker = Some(cx.waker().clone());
            Poll::Pending
        };
        // Handling the chunk before may have freed lanes that others wait for.
        state.wake_inlets(&mut wakes);
        this.waiting = polled.is_pending();
        this.inlet.waited |= this.waiting;
        drop(state);
        wakes.wake();
        polled
    }
}

impl<T, D: Dispatch<T>> Drop for Take<'_, T, D> {
    fn drop(&mut self) {
        if !self.waiting {
            return;
        }
        let mut wakes = WakeList::default();
        let mut state = self.inlet.hub.lock();
        state.inlets[self.inlet.id.0 as usize].waker = None;
        state.set_up(self.inlet.id, false);
        state.dispatch.ask(self.inlet.id, 0);
        state.wake_inlets(&mut wakes);
        drop(state);
        wakes.wake();
    }
}
