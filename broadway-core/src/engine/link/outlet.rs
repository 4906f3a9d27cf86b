//! [`Outlet`]: the sending end of a link.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use super::{
    outlet_state::{OutletId, OutletState},
    state::SharedLink,
    wake_list::WakeList,
};
use crate::{
    end::End,
    machine::dispatch::{Dispatch, Mark, Offered},
    sync::Arc,
};

/// Sends to a link. Closed by [`close`](Self::close) or by dropping it.
pub(crate) struct Outlet<T, D: Dispatch<T>> {
    shared: Arc<SharedLink<T, D>>,
    id: OutletId,
}

impl<T, D: Dispatch<T>> Outlet<T, D> {
    pub(super) fn new(shared: Arc<SharedLink<T, D>>, id: OutletId) -> Self {
        Self { shared, id }
    }

    /// Waits until messages are requested from this outlet, and returns how many: also those that were returned before and not sent.
    /// Returns `None` if no inlet is left, or the outlet is closed.
    ///
    /// Several tasks may wait on one outlet. All see the same demand, so together they may exceed it by one `Vec` each. Messages requested
    /// here are requested nowhere else until they are sent or the outlet closes.
    ///
    /// # Panics
    ///
    /// Resumes a panic of the dispatcher that happened when an inlet asked or left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: demand that was returned before stays, and other demand goes to other outlets.
    pub(crate) fn demand(&self) -> DemandFuture<'_, T, D> {
        DemandFuture {
            outlet: self,
            wait: None,
        }
    }

    /// As [`demand`](Self::demand), polled by hand, with the same panics. `wait` holds the number of this wait. Pass it with each poll,
    /// and to [`cancel_wait`](Self::cancel_wait) if it is not polled again.
    pub(crate) fn poll_demand(
        &self,
        wait: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<NonZeroUsize>> {
        self.poll_requests(OutletState::learn_all, wait, cx)
    }

    /// Removes a wait. Requests that were meant for it go to other outlets.
    pub(crate) fn cancel_wait(&self, wait: &mut Option<u64>) {
        let Some(number) = wait.take() else {
            return;
        };
        let mut wakes = WakeList::default();
        let waker = self
            .shared
            .lock()
            .cancel_demand_wait(self.id, number, &mut wakes);
        // After the lock: with its last waker a task may drop ends of this link.
        drop(waker);
        wakes.wake();
    }

    /// Waits until more messages are requested than the calls before have returned, and returns how many more. For one task that keeps
    /// account of them. Polled by hand, with the panics of [`demand`](Self::demand); `wait` holds the number of this wait: pass it with
    /// each poll.
    pub(crate) fn poll_new_demand(
        &self,
        wait: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<NonZeroUsize>> {
        self.poll_requests(OutletState::learn_new, wait, cx)
    }

    fn poll_requests(
        &self,
        read: fn(&mut OutletState) -> usize,
        wait: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<NonZeroUsize>> {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        if let Some(payload) = state.panic.take() {
            // Not under the lock, which the unwinding would poison.
            drop(state);
            resume_unwind(payload);
        }
        let gone = state.is_abandoned(&mut wakes) || !state.outlet(self.id).is_open();
        let (polled, before) = if gone {
            (Poll::Ready(None), None)
        } else if let Some(demand) = NonZeroUsize::new(state.request_from(self.id, read)) {
            (Poll::Ready(Some(demand)), None)
        } else {
            let (number, before) = state.outlet(self.id).wait(*wait, cx.waker());
            *wait = Some(number);
            (Poll::Pending, before)
        };
        drop(state);
        // After the lock: dropping a waker may run any code.
        drop(before);
        wakes.wake();
        polled
    }

    /// Sends all of `events` and leaves the `Vec` empty. Never waits: wait for [`demand`](Self::demand) before.
    ///
    /// For dispatchers that place every event, as pipelines' do.
    pub(crate) fn send(&self, events: &mut Vec<T>) {
        let offered = self.offer(events);
        debug_assert!(offered.discarded == 0 && offered.misrouted.is_empty());
    }

    /// As [`send`](Self::send), and returns what the dispatcher did not place.
    ///
    /// # Panics
    ///
    /// Panics if a function of the dispatcher does. Nothing is sent then.
    pub(crate) fn offer(&self, events: &mut Vec<T>) -> Offered<T> {
        if events.is_empty() {
            return Offered::all();
        }
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        let offered = state.offer(self.id, events);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
        offered
    }

    /// Wakes a parked inlet unless an inlet is awake, so that one looks for messages that do not come from the link. Returns whether
    /// one is awake.
    pub(crate) fn wake_idle(&self) -> bool {
        let mut wakes = WakeList::default();
        let is_any_awake = self.shared.lock().wake_idle(&mut wakes);
        wakes.wake();
        is_any_awake
    }

    /// Returns how many [unrequested](super::Link::outlet_unrequested) messages are buffered.
    pub(crate) fn unrequested(&self) -> usize {
        self.shared.lock().unrequested.buffered()
    }

    /// Returns a mark behind all that was sent so far.
    pub(crate) fn mark(&self) -> Mark {
        self.shared.lock().dispatch.mark()
    }

    /// Returns whether all events before the mark were taken, or at least demanded by the inlet that will take them. If not, tasks that
    /// wait for demand are woken when that may have changed.
    pub(crate) fn has_passed(&self, mark: &Mark) -> bool {
        let mut state = self.shared.lock();
        let passed = state.dispatch.has_passed(mark);
        state.mark_watched |= !passed;
        passed
    }

    /// Closes the outlet: nothing more comes from it. Idempotent.
    pub(crate) fn close(&self) {
        self.close_as(End::Normal);
    }

    /// As [`close`](Self::close), with the reason for the end.
    pub(crate) fn close_as(&self, end: End) {
        let mut wakes = WakeList::default();
        self.shared.lock().close_outlet(self.id, end, &mut wakes);
        wakes.wake();
    }
}

impl<T, D: Dispatch<T>> Drop for Outlet<T, D> {
    fn drop(&mut self) {
        self.close();
    }
}

/// The future of [`Outlet::demand`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct DemandFuture<'a, T, D: Dispatch<T>> {
    outlet: &'a Outlet<T, D>,
    /// The number under which the outlet knows this wait.
    wait: Option<u64>,
}

impl<T, D: Dispatch<T>> Future for DemandFuture<'_, T, D> {
    type Output = Option<NonZeroUsize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.outlet.poll_demand(&mut this.wait, cx)
    }
}

impl<T, D: Dispatch<T>> Drop for DemandFuture<'_, T, D> {
    fn drop(&mut self) {
        self.outlet.cancel_wait(&mut self.wait);
    }
}
