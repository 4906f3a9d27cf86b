//! [`Inlet`]: the receiving end of a link.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    inlet_handle::InletHandle, state::SharedLink, suspension::SuspensionWatch, wake_list::WakeList,
    waking::is_worth_a_wake,
};
use crate::{
    end::End,
    machine::dispatch::{Dispatch, GiveBack, InletId},
    sync::Arc,
};

/// Takes messages from a link. Dropping it cancels the subscription: messages that it holds are lost, buffered ones go to other
/// inlets.
pub(crate) struct Inlet<T, D: Dispatch<T>> {
    shared: Arc<SharedLink<T, D>>,
    id: InletId,
    serial: u64,
    /// To be recorded with the next take, under the lock that this needs anyway.
    service_time_ns: Option<u64>,
    /// The service time of all inlets, at the last take.
    link_service_time_ns: u64,
    /// Whether the last take had to wait.
    waited: bool,
    /// Whether the last attempt found nothing and parked.
    parked: bool,
}

/// What [`Inlet::try_take`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Messages, which it took.
    Taken,
    /// Nothing to take now.
    Empty {
        /// How many messages wait that cannot be taken now.
        buffered: usize,
    },
    /// The end of the link.
    Ended,
}

impl<T, D: Dispatch<T>> Inlet<T, D> {
    pub(super) fn new(shared: Arc<SharedLink<T, D>>, id: InletId, serial: u64) -> Self {
        Self {
            shared,
            id,
            serial,
            service_time_ns: None,
            link_service_time_ns: u64::MAX,
            waited: true,
            parked: false,
        }
    }

    /// Requests the first messages. Must be called once after [`Link::subscribe_paused`](super::Link::subscribe_paused), and only
    /// then.
    pub(crate) fn start_demand(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.request_more(self.id);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Reports that handling `n` messages took `elapsed`.
    pub(crate) fn record_service_time(&mut self, n: usize, elapsed: Duration) {
        let elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.service_time_ns = elapsed_ns.checked_div(n as u64);
    }

    /// Whether time other than work has passed since the chunk before was completed: this take had to wait, or the handling of that
    /// chunk did.
    pub(crate) fn waited(&self) -> bool {
        self.waited
    }

    /// Returns the argument of [`watch_suspension`](super::watch_suspension).
    pub(crate) fn suspension_watch(&self) -> SuspensionWatch<T, D> {
        SuspensionWatch::new(Arc::clone(&self.shared), self.id)
    }

    /// Completes the chunk before, and waits for one to `max` messages, which are appended to `out`. Returns `false` if the link has
    /// ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken before it completes.
    pub(crate) fn take<'a>(&'a mut self, max: usize, out: &'a mut Vec<T>) -> TakeFuture<'a, T, D> {
        debug_assert!(max > 0, "a take of nothing would wait forever");
        self.waited = false;
        TakeFuture {
            inlet: self,
            max,
            out,
            waiting: false,
        }
    }

    /// As [`take`](Self::take), polled by hand. If it is pending and not polled again soon, call [`cancel_wait`](Self::cancel_wait).
    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        out: &mut Vec<T>,
    ) -> Poll<bool> {
        let polled = self.attempt(cx, max, out);
        self.parked = polled.is_pending();
        self.waited |= self.parked;
        polled
    }

    fn attempt(&mut self, cx: &mut Context<'_>, max: usize, out: &mut Vec<T>) -> Poll<bool> {
        let id = self.id;
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        // Not awake: its task was suspended since the last take, so time passed that was not work.
        self.waited |= !state.is_awake(id);
        // Before the take: the chunk before may hold lanes that this inlet can take from again.
        state.finish_chunk(id);
        if let Some(sample_ns) = self.service_time_ns.take() {
            state.update_service_time(sample_ns);
        }
        let taken = state.take(id, max, out, &mut wakes);
        let before = state.waker(id).take();
        let polled = if taken > 0 {
            Poll::Ready(true)
        } else if state.is_finished_for(id) {
            Poll::Ready(false)
        } else {
            state.park(id, max, cx.waker().clone());
            Poll::Pending
        };
        // Also after a take: completing the chunk before may have freed lanes that other inlets wait for.
        state.propagate(&mut wakes);
        drop(state);
        // After the lock: dropping a waker may run any code.
        drop(before);
        wakes.wake();
        polled
    }

    /// As [`poll_take`](Self::poll_take), but does not park if there is nothing to take. The inlet then counts as awake with a chunk,
    /// for a caller that gets its messages elsewhere, until the next take.
    pub(crate) fn try_take(&mut self, max: usize, out: &mut Vec<T>) -> Attempt {
        let id = self.id;
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        self.waited = mem::take(&mut self.parked) || !state.is_awake(id);
        state.finish_chunk(id);
        if let Some(sample_ns) = self.service_time_ns.take() {
            state.update_service_time(sample_ns);
        }
        self.link_service_time_ns = state.service_time_ns;
        let taken = state.take(id, max, out, &mut wakes);
        let before = state.waker(id).take();
        let attempt = if taken > 0 {
            Attempt::Taken
        } else if state.is_finished_for(id) {
            Attempt::Ended
        } else {
            state.hold_elsewhere(id);
            Attempt::Empty {
                buffered: state.dispatch.buffered(),
            }
        };
        state.propagate(&mut wakes);
        drop(state);
        // After the lock: dropping a waker may run any code.
        drop(before);
        wakes.wake();
        attempt
    }

    /// Wakes a parked inlet if `n` more messages are worth a wake.
    pub(crate) fn wake_another(&self, n: usize) {
        if !is_worth_a_wake(self.link_service_time_ns, n) {
            return;
        }
        let mut wakes = WakeList::default();
        self.shared.lock().wake_parked(&mut wakes);
        wakes.wake();
    }

    /// Stops waiting. A wake that the inlet may have received goes to other inlets.
    pub(crate) fn cancel_wait(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        let waker = state.waker(self.id).take();
        state.set_awake(self.id, false);
        // Asking for 0 withdraws the ask, and releases the events that were promised to this inlet.
        state.dispatch.wait_for(self.id, 0);
        state.propagate(&mut wakes);
        drop(state);
        // After the lock: with its last waker a task may drop ends of this link.
        drop(waker);
        wakes.wake();
    }

    /// Waits until the link has ended, and takes nothing. A wake that the inlet may have received goes to other inlets.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let id = self.id;
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        let before = state.waker(id).take();
        state.set_awake(id, false);
        state.dispatch.wait_for(id, 0);
        let polled = if state.is_finished_for(id) {
            Poll::Ready(())
        } else {
            state.await_end(id, cx.waker().clone());
            Poll::Pending
        };
        state.propagate(&mut wakes);
        drop(state);
        drop(before);
        wakes.wake();
        polled
    }

    /// Completes the chunk that was taken, and requests more without waiting for it.
    pub(crate) fn finish_chunk(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.finish_chunk(self.id);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Returns how the sending side ended. Meaningful once a take returned `false`.
    pub(crate) fn end(&self) -> End {
        self.shared.lock().end()
    }

    /// Returns a handle for tasks other than the one that takes.
    pub(crate) fn handle(&self) -> InletHandle<T, D> {
        InletHandle::new(Arc::clone(&self.shared), self.id, self.serial)
    }

    /// Completes the chunk that was taken, except for its last message.
    pub(crate) fn keep_last(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.dispatch.done(self.id, 1);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }
}

impl<T, D: GiveBack<T>> Inlet<T, D> {
    /// Returns the tail of the chunk to the front of the queue, in its order, for any inlet to take. Only for bounded links: where inlets
    /// demand, they see the end without waiting for those that hold a chunk.
    pub(crate) fn give_back(&mut self, rest: &mut Vec<T>) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.give_back(self.id, rest);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Detaches the last `n` messages of the chunk, and completes those before them. A detached message is handled on its own, and
    /// ends with [`DetachedMessages::complete`] or [`DetachedMessages::restore`]. The link does not end before.
    ///
    /// [`DetachedMessages::complete`]: super::DetachedMessages::complete
    /// [`DetachedMessages::restore`]: super::DetachedMessages::restore
    pub(crate) fn detach_last(&mut self, n: usize) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.dispatch.done(self.id, n);
        state.detach(self.id, n);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Counts `n` messages of the chunk, anywhere in it, as detached. Only for messages that have no order.
    pub(crate) fn detach_unordered(&mut self, n: usize) {
        self.shared.lock().add_detached(n);
    }
}

impl<T, D: Dispatch<T>> Drop for Inlet<T, D> {
    fn drop(&mut self) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        let waker = state.remove_inlet(self.id);
        state.propagate(&mut wakes);
        state.is_abandoned(&mut wakes);
        drop(state);
        // After the lock: with its last waker a task may drop ends of this link.
        drop(waker);
        wakes.wake();
    }
}

/// The future of [`Inlet::take`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct TakeFuture<'a, T, D: Dispatch<T>> {
    inlet: &'a mut Inlet<T, D>,
    max: usize,
    out: &'a mut Vec<T>,
    waiting: bool,
}

impl<T, D: Dispatch<T>> Future for TakeFuture<'_, T, D> {
    type Output = bool;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        let this = self.get_mut();
        let polled = this.inlet.poll_take(cx, this.max, this.out);
        this.waiting = polled.is_pending();
        polled
    }
}

impl<T, D: Dispatch<T>> Drop for TakeFuture<'_, T, D> {
    fn drop(&mut self) {
        if self.waiting {
            self.inlet.cancel_wait();
        }
    }
}
