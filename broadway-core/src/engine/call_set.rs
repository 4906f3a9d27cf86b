//! [`CallSet`]: calls of handlers that run side by side within one task.

use std::task::{Context, Poll};

use futures_util::{
    future::BoxFuture,
    stream::{FuturesUnordered, StreamExt},
};

/// Calls that run side by side. A call leaves its result elsewhere: so this is compiled once, and not for each handler.
///
/// Dropping it drops the calls.
#[derive(Default)]
pub(crate) struct CallSet {
    calls: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl CallSet {
    /// Adds a call. It runs whenever the set is polled.
    pub(crate) fn push(&self, call: BoxFuture<'static, ()>) {
        self.calls.push(call);
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Polls the calls that were woken. Ready if any of them has ended. Pending if none has, or if there are none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut polled = Poll::Pending;
        while let Poll::Ready(Some(())) = self.calls.poll_next_unpin(cx) {
            polled = Poll::Ready(());
        }
        polled
    }
}
