//! The receiving end of a link.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{ask::Ask, hub::Hub, suspension::SuspensionWatch, wake_list::WakeList};
use crate::{
    end::End,
    engine::inline_guard,
    machine::dispatch::{Dispatch, InletId},
    sync::Arc,
};

/// Takes from a link. Dropping it cancels: what it held unhandled is gone, what was buffered goes to others.
pub(crate) struct Inlet<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
    id: InletId,
    serial: u64,
    /// To be entered with the next take.
    pace_ns: Option<u64>,
    /// Whether the last take had to wait.
    waited: bool,
}

impl<T, D: Dispatch<T>> Inlet<T, D> {
    pub(super) fn new(hub: Arc<Hub<T, D>>, id: InletId, serial: u64) -> Self {
        Self {
            hub,
            id,
            serial,
            pace_ns: None,
            waited: true,
        }
    }

    /// Asks for the first time. Only after [`Link::join`](super::Link::join).
    pub(crate) fn begin(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.ask_again(self.id);
        state.changed(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Says that `n` messages took `elapsed`.
    pub(crate) fn pace(&mut self, n: usize, elapsed: Duration) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.pace_ns = elapsed_ns.checked_div(n as u64);
    }

    /// Whether time has passed since the chunk before was done that was not work: this take, or that chunk, had to wait.
    pub(crate) fn waited(&self) -> bool {
        self.waited
    }

    /// For [`watch_suspension`](super::watch_suspension).
    pub(crate) fn suspension_watch(&self) -> SuspensionWatch<T, D> {
        SuspensionWatch::new(Arc::clone(&self.hub), self.id)
    }

    /// Says that what was taken before is handled, and waits for between one and `max` messages, which are appended to
    /// `out`. `false`: the link has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken before it completes.
    pub(crate) fn take<'a>(&'a mut self, max: usize, out: &'a mut Vec<T>) -> Take<'a, T, D> {
        debug_assert!(max > 0, "who takes nothing would wait for ever");
        self.waited = false;
        Take {
            inlet: self,
            max,
            out,
            waiting: false,
        }
    }

    /// As [`take`](Self::take), by hand. If it is pending and not polled again soon, [`rest`](Self::rest).
    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        out: &mut Vec<T>,
    ) -> Poll<bool> {
        let polled = self.attempt(cx, max, out);
        self.waited |= polled.is_pending();
        polled
    }

    fn attempt(&mut self, cx: &mut Context<'_>, max: usize, out: &mut Vec<T>) -> Poll<bool> {
        let id = self.id;
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        // Not up: it suspended since it took last, so time went by that is not work.
        self.waited |= !state.is_up(id);
        state.done(id);
        if let Some(sample_ns) = self.pace_ns.take() {
            state.set_pace(sample_ns);
        }
        let taken = state.take(id, max, out, &mut wakes);
        let before = state.waker(id).take();
        let polled = if taken > 0 {
            Poll::Ready(true)
        } else if state.finished_for(id) {
            Poll::Ready(false)
        } else {
            state.sleep(id, max, cx.waker().clone());
            Poll::Pending
        };
        // Handling the chunk before may have freed lanes that others wait for.
        state.changed(&mut wakes);
        drop(state);
        drop(before);
        // Whoever has been asked for more may make it here and now.
        inline_guard::running(|| wakes.wake());
        polled
    }

    /// Waits no more; what it may have been woken for goes to others.
    pub(crate) fn rest(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let waker = state.waker(self.id).take();
        state.set_up(self.id, false);
        state.dispatch.wait_for(self.id, 0);
        state.changed(&mut wakes);
        drop(state);
        // After the lock: with its last waker a task may drop ends of this link.
        drop(waker);
        wakes.wake();
    }

    /// Waits until the link has ended, and takes nothing; what it may have been woken for goes to others.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let id = self.id;
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let before = state.waker(id).take();
        state.set_up(id, false);
        state.dispatch.wait_for(id, 0);
        let polled = if state.finished_for(id) {
            Poll::Ready(())
        } else {
            state.await_end(id, cx.waker().clone());
            Poll::Pending
        };
        state.changed(&mut wakes);
        drop(state);
        drop(before);
        wakes.wake();
        polled
    }

    /// Says that what was taken before is handled, and asks for more, without waiting for it.
    pub(crate) fn done(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.done(self.id);
        state.changed(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// How the sending side ended; of interest after a take said that it has.
    pub(crate) fn end(&self) -> End {
        self.hub.lock().end()
    }

    /// For asking from elsewhere.
    pub(crate) fn asking(&self) -> Ask<T, D> {
        Ask::new(Arc::clone(&self.hub), self.id, self.serial)
    }

    /// Says that what was taken before is handled, except its last message.
    pub(crate) fn keep_last(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.dispatch.done_except_last(self.id);
        state.changed(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Returns the tail of what was taken last, in its order, so that others take it; it goes to the front. Only for an inlet
    /// that takes [whatever is there](super::Flow::Any): the others learn of the end without waiting for it.
    pub(crate) fn give_back(&mut self, rest: &mut Vec<T>) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.give_back(self.id, rest);
        state.changed(&mut wakes);
        drop(state);
        wakes.wake();
    }
}

impl<T, D: Dispatch<T>> Drop for Inlet<T, D> {
    fn drop(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let waker = state.leave(self.id);
        state.changed(&mut wakes);
        state.abandoned(&mut wakes);
        drop(state);
        // After the lock: with its last waker a task may drop ends of this link.
        drop(waker);
        wakes.wake();
    }
}

/// The future of [`Inlet::take`].
#[must_use = "futures do nothing unless awaited"]
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
        let polled = this.inlet.poll_take(cx, this.max, this.out);
        this.waiting = polled.is_pending();
        polled
    }
}

impl<T, D: Dispatch<T>> Drop for Take<'_, T, D> {
    fn drop(&mut self) {
        if self.waiting {
            self.inlet.rest();
        }
    }
}
