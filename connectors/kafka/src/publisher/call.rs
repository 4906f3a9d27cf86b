//! One call of `publish`: what of it is still open, and which of its messages failed.
//!
//! A call is one allocation that its messages share. Messages that were confirmed only count; those that failed leave an
//! error with their place in the call. [`Calls`] knows which calls are open, so that a flush can wait for those before it
//! and for no others.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use broadway_core::{Deadline, PublishError};
use tokio::sync::Notify;

use crate::events::lock;

/// Held by the future of `publish` and by the groups of its messages that are with the client. Ends with the last of them.
pub(crate) struct Call {
    left: AtomicUsize,
    failures: Mutex<Vec<(usize, PublishError)>>,
    done: Notify,
    number: u64,
    calls: Arc<Calls>,
}

/// All open calls of a publisher.
#[derive(Default)]
pub(crate) struct Calls {
    open: Mutex<Open>,
    ended: Notify,
}

#[derive(Default)]
struct Open {
    next: u64,
    numbers: BTreeSet<u64>,
}

impl Call {
    /// The `at`th message of the call failed. Before the message counts as finished.
    pub(crate) fn fail(&self, at: usize, error: PublishError) {
        lock(&self.failures).push((at, error));
    }

    /// `n` more messages are confirmed or have failed.
    pub(crate) fn finish(&self, n: usize) {
        let before = self.left.fetch_sub(n, Ordering::AcqRel);
        debug_assert!(before >= n, "a message finishes once");
        if before == n {
            self.done.notify_one();
        }
    }

    /// Waits for the last message; then, one result for each of `n`, in their order.
    pub(crate) async fn results(&self, n: usize) -> Vec<Result<(), PublishError>> {
        while self.left.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        let mut results = Vec::with_capacity(n);
        results.resize_with(n, || Ok(()));
        for (at, error) in lock(&self.failures).drain(..) {
            results[at] = Err(error);
        }
        results
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        lock(&self.calls.open).numbers.remove(&self.number);
        self.calls.ended.notify_waiters();
    }
}

impl Calls {
    /// Opens a call of `n` messages.
    pub(crate) fn begin(self: &Arc<Self>, n: usize) -> Arc<Call> {
        let number = {
            let mut open = lock(&self.open);
            open.next += 1;
            let number = open.next;
            open.numbers.insert(number);
            number
        };
        Arc::new(Call {
            left: AtomicUsize::new(n),
            failures: Mutex::default(),
            done: Notify::new(),
            number,
            calls: Arc::clone(self),
        })
    }

    /// Waits until all calls that are open now have ended. Returns how many have not, when the time is over.
    pub(crate) async fn ended(&self, deadline: Deadline) -> Result<(), usize> {
        let last = lock(&self.open).next;
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on a notification counts, also one between the look and the wait.
            ended.as_mut().enable();
            let left = lock(&self.open).numbers.range(..=last).count();
            if left == 0 {
                return Ok(());
            }
            if deadline.within(ended).await.is_none() {
                return Err(left);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn results_are_in_the_order_of_the_messages() {
        let call = Arc::new(Calls::default()).begin(4);
        call.fail(2, PublishError::unconfirmed("lost"));
        call.fail(0, PublishError::refused("too large"));
        call.finish(1);
        call.finish(3);
        let results = call.results(4).await;
        assert!(
            results[0]
                .as_ref()
                .is_err_and(|error| !error.is_retryable())
        );
        assert!(results[1].is_ok() && results[3].is_ok());
        assert!(results[2].as_ref().is_err_and(PublishError::is_retryable));
    }

    #[tokio::test]
    async fn a_flush_waits_for_the_calls_before_it_only() {
        let calls = Arc::new(Calls::default());
        let before = calls.begin(1);
        let mut flush = std::pin::pin!(calls.ended(Deadline::never()));
        let polled = futures_poll(flush.as_mut());
        assert!(polled.is_none(), "one call is open");
        let after = calls.begin(1);
        drop(before);
        assert_eq!(futures_poll(flush.as_mut()), Some(Ok(())));
        drop(after);
    }

    /// One poll.
    fn futures_poll<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
