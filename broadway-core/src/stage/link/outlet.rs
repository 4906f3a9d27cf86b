//! The sending end of a link.

use std::{
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll},
};

use super::{hub::Hub, wake_list::WakeList};
use crate::{
    machine::dispatch::{Dispatch, OutletId},
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
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken.
    pub(crate) fn demand(&self) -> Demanded<'_, T, D> {
        Demanded {
            outlet: self,
            wait: None,
        }
    }

    /// Sends all of `events` and leaves the `Vec` empty. Never waits: wait for [`demand`](Self::demand) before.
    pub(crate) fn send(&self, events: &mut Vec<T>) {
        if events.is_empty() {
            return;
        }
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        state.port(self.id).sent(events.len());
        // Pipelines dispatch by demand and by lanes, which place everything.
        let _ = state.dispatch.offer(self.id, events);
        state.wake_inlets(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Says that nothing more comes from this outlet. Harmless when repeated.
    pub(crate) fn close(&self) {
        let mut wakes = WakeList::default();
        self.hub.lock().close(self.id, &mut wakes);
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
        let mut wakes = WakeList::default();
        let mut state = this.outlet.hub.lock();
        let gone = state.abandoned(&mut wakes);
        let port = state.port(this.outlet.id);
        let (polled, before) = if gone || !port.is_open() {
            (Poll::Ready(None), None)
        } else if let Some(demand) = NonZeroUsize::new(port.ask()) {
            (Poll::Ready(Some(demand)), None)
        } else {
            let (number, before) = port.wait(this.wait, cx.waker());
            this.wait = Some(number);
            (Poll::Pending, before)
        };
        drop(state);
        drop(before);
        wakes.wake();
        polled
    }
}

impl<T, D: Dispatch<T>> Drop for Demanded<'_, T, D> {
    fn drop(&mut self) {
        if let Some(number) = self.wait {
            let waker = self.outlet.hub.lock().port(self.outlet.id).forget(number);
            // After the lock: with its last waker a task may drop ends of this link.
            drop(waker);
        }
    }
}
