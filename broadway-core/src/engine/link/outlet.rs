//! The sending end of a link.

use std::{
    num::NonZeroUsize,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll},
};

use super::{hub::Hub, wake_list::WakeList};
use crate::{
    end::End,
    machine::dispatch::{Dispatch, Mark, Offered, OutletId},
    sync::Arc,
};

/// Sends to a link. Closed by [`close`](Self::close) or drop.
pub(crate) struct Outlet<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
    id: OutletId,
}

impl<T, D: Dispatch<T>> Outlet<T, D> {
    pub(super) fn new(hub: Arc<Hub<T, D>>, id: OutletId) -> Self {
        Self { hub, id }
    }

    /// Waits until messages are asked for, and says how many. `None`: no inlet is left, or the outlet is closed.
    ///
    /// Several tasks may wait on one outlet; all are told the same demand, so together they may exceed it by one `Vec` each.
    ///
    /// # Panics
    ///
    /// If a function of the dispatcher's panicked when an inlet asked or left.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken.
    pub(crate) fn demand(&self) -> Demanded<'_, T, D> {
        Demanded {
            outlet: self,
            wait: None,
        }
    }

    /// As [`demand`](Self::demand), by hand, with its panics. `wait` is the number of this wait, to be given with each poll, and to
    /// [`forget`](Self::forget) when it is not polled again.
    pub(crate) fn poll_demand(
        &self,
        wait: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<NonZeroUsize>> {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        if let Some(payload) = state.panic.take() {
            drop(state);
            resume_unwind(payload);
        }
        let gone = state.abandoned(&mut wakes) || !state.port(self.id).is_open();
        let (polled, before) = if gone {
            (Poll::Ready(None), None)
        } else if let Some(demand) = NonZeroUsize::new(state.ask(self.id)) {
            (Poll::Ready(Some(demand)), None)
        } else {
            let (number, before) = state.port(self.id).wait(*wait, cx.waker());
            *wait = Some(number);
            (Poll::Pending, before)
        };
        drop(state);
        drop(before);
        wakes.wake();
        polled
    }

    /// Takes back a wait.
    pub(crate) fn forget(&self, wait: &mut Option<u64>) {
        if let Some(number) = wait.take() {
            let waker = self.hub.lock().port(self.id).forget(number);
            // After the lock: with its last waker a task may drop ends of this link.
            drop(waker);
        }
    }

    /// Sends all of `events` and leaves the `Vec` empty. Never waits: wait for [`demand`](Self::demand) before.
    ///
    /// For dispatchers that place everything, as those of pipelines do.
    pub(crate) fn send(&self, events: &mut Vec<T>) {
        let offered = self.offer(events);
        debug_assert!(offered.discarded == 0 && offered.misrouted.is_empty());
    }

    /// As [`send`](Self::send), and tells what the dispatcher did not place.
    ///
    /// # Panics
    ///
    /// If a function of the dispatcher's panics; nothing is sent then.
    pub(crate) fn offer(&self, events: &mut Vec<T>) -> Offered<T> {
        if events.is_empty() {
            return Offered::all();
        }
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let offered = state.offer(self.id, events);
        state.changed(&mut wakes);
        drop(state);
        wakes.wake();
        offered
    }

    /// How many messages of an outlet with a credit were sent and not taken.
    pub(crate) fn waiting(&self) -> usize {
        self.hub.lock().port(self.id).waiting()
    }

    /// A point behind all that was sent.
    pub(crate) fn mark(&self) -> Mark {
        self.hub.lock().dispatch.mark()
    }

    /// Whether all before the mark is where it was asked for. If not, who waits for demand is woken when that may have
    /// changed.
    pub(crate) fn has_passed(&self, mark: &Mark) -> bool {
        let mut state = self.hub.lock();
        let passed = state.dispatch.has_passed(mark);
        state.watched |= !passed;
        passed
    }

    /// Says that nothing more comes from this outlet. Harmless when repeated.
    pub(crate) fn close(&self) {
        self.close_as(End::Normal);
    }

    /// As [`close`](Self::close), and says how it came to that.
    pub(crate) fn close_as(&self, end: End) {
        let mut wakes = WakeList::default();
        self.hub.lock().close(self.id, end, &mut wakes);
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
pub(crate) struct Demanded<'a, T, D: Dispatch<T>> {
    outlet: &'a Outlet<T, D>,
    /// The number under which the outlet knows this wait.
    wait: Option<u64>,
}

impl<T, D: Dispatch<T>> Future for Demanded<'_, T, D> {
    type Output = Option<NonZeroUsize>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.outlet.poll_demand(&mut this.wait, cx)
    }
}

impl<T, D: Dispatch<T>> Drop for Demanded<'_, T, D> {
    fn drop(&mut self) {
        self.outlet.forget(&mut self.wait);
    }
}
