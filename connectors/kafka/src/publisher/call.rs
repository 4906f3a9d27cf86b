//! One call of `publish`: how many of its messages are open, and which have failed.
//!
//! A call is one allocation that its messages share. Confirmed messages are only counted; a failed one leaves its error with its index in
//! the call.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use broadway_core::{PublishError, connector::PublishCall};
use tokio::sync::Notify;

use crate::sync::lock;

/// The results of one call. Held by the future of `publish` and by the groups of its messages; the call ends with the last of them.
pub(super) struct CallResults {
    open: AtomicUsize,
    failures: Mutex<Vec<(usize, PublishError)>>,
    done: Notify,
    /// Makes `flush` wait for this call until the results are dropped.
    _call: PublishCall,
}

impl CallResults {
    /// The results of a call with `n` messages.
    pub(super) fn new(n: usize, call: PublishCall) -> Self {
        Self {
            open: AtomicUsize::new(n),
            failures: Mutex::default(),
            done: Notify::new(),
            _call: call,
        }
    }

    /// Records that the message at `index` failed. Must come before [`finish`](Self::finish) counts the message: the last one counted
    /// lets the call return its results.
    pub(super) fn fail(&self, index: usize, error: PublishError) {
        lock(&self.failures).push((index, error));
    }

    /// Counts `n` more messages as confirmed or failed.
    pub(super) fn finish(&self, n: usize) {
        let before = self.open.fetch_sub(n, Ordering::AcqRel);
        debug_assert!(before >= n, "a message finishes once");
        if before == n {
            self.done.notify_one();
        }
    }

    /// Waits for the last message, then returns one result for each of `n` messages, in their order.
    pub(super) async fn wait(&self, n: usize) -> Vec<Result<(), PublishError>> {
        while self.open.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        let mut results = Vec::with_capacity(n);
        results.resize_with(n, || Ok(()));
        for (index, error) in lock(&self.failures).drain(..) {
            results[index] = Err(error);
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::connector::InFlight;

    use super::*;

    #[tokio::test]
    async fn results_are_in_the_order_of_the_messages() {
        let call = CallResults::new(4, InFlight::new(4).begin().expect("open"));
        call.fail(2, PublishError::unconfirmed("lost"));
        call.fail(0, PublishError::refused("too large"));
        call.finish(1);
        call.finish(3);
        let results = call.wait(4).await;
        assert!(
            results[0]
                .as_ref()
                .is_err_and(|error| !error.is_retryable())
        );
        assert!(results[1].is_ok() && results[3].is_ok());
        assert!(results[2].as_ref().is_err_and(PublishError::is_retryable));
    }
}
