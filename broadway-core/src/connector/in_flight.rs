//! What a publisher has in flight: its limit, `flush` and `close`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::{deadline::Deadline, publish_error::PublishError};

/// The messages that a publisher has accepted and not answered yet: bounds their number, and knows which calls of
/// [`publish`](crate::Publisher::publish) are open.
///
/// Clones of a publisher share one. `flush` waits for the calls that began before it and for no others, so calls that begin meanwhile are
/// not held up and cannot hold it up. After [`close`](Self::close) no call begins.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use broadway_core::{Deadline, PublishError, connector::InFlight};
///
/// # async fn send(_: &str) {}
/// async fn publish(in_flight: &Arc<InFlight>, messages: Vec<&str>) -> Result<(), PublishError> {
///     let _call = in_flight.begin()?; // ends when it is dropped
///     let _permits = in_flight.acquire(messages.len()).await;
///     for message in messages {
///         send(message).await;
///     }
///     Ok(())
/// }
///
/// # async fn run() {
/// let in_flight = InFlight::new(1_000);
/// publish(&in_flight, vec!["a", "b"]).await.expect("not closed");
/// in_flight.close();
/// let unanswered = in_flight.flush(Deadline::after(Duration::from_secs(10))).await;
/// assert_eq!(unanswered, Ok(()));
/// assert!(publish(&in_flight, vec!["c"]).await.is_err());
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run());
/// ```
#[derive(Debug)]
pub struct InFlight {
    permits: Arc<Semaphore>,
    messages_max: u32,
    calls: Mutex<OpenCalls>,
    call_ended: Notify,
}

#[derive(Debug, Default)]
struct OpenCalls {
    next: u64,
    numbers: BTreeSet<u64>,
    is_closed: bool,
}

/// A call of `publish` that is open until this is dropped.
#[derive(Debug)]
#[must_use = "the call ends when this is dropped"]
pub struct PublishCall {
    number: u64,
    in_flight: Arc<InFlight>,
}

impl InFlight {
    /// At most `messages_max` messages in flight: at least 1, at most `u32::MAX / 8`.
    #[must_use]
    pub fn new(messages_max: usize) -> Arc<Self> {
        let most = u32::MAX / 8;
        let messages_max = u32::try_from(messages_max).unwrap_or(most).clamp(1, most);
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(messages_max as usize)),
            messages_max,
            calls: Mutex::default(),
            call_ended: Notify::new(),
        })
    }

    /// Opens a call.
    ///
    /// # Errors
    ///
    /// Fails with [`PublishErrorKind::Closed`](crate::PublishErrorKind::Closed) once it is [closed](Self::close).
    pub fn begin(self: &Arc<Self>) -> Result<PublishCall, PublishError> {
        let mut calls = self.calls();
        // Under the same lock as `close`: a call either began before it, and a later `flush` waits for it, or does not begin.
        if calls.is_closed {
            return Err(PublishError::closed());
        }
        let number = calls.next;
        calls.next += 1;
        calls.numbers.insert(number);
        drop(calls);
        Ok(PublishCall {
            number,
            in_flight: Arc::clone(self),
        })
    }

    /// Waits until `n` more messages may be in flight; `n` beyond the limit counts as the limit, so send larger calls in parts of
    /// [`messages_max`](Self::messages_max). Permits are all or nothing and granted in turn, so two large calls never wait for
    /// each other's. They return when the result is dropped.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped; the place in the queue is lost.
    pub async fn acquire(&self, n: usize) -> OwnedSemaphorePermit {
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(self.messages_max);
        let permits = Arc::clone(&self.permits).acquire_many_owned(n).await;
        permits.expect("the semaphore is never closed")
    }

    /// Like [`acquire`](Self::acquire), with permits that borrow this value: no reference count changes, which counts where each message
    /// has its own permit.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped; the place in the queue is lost.
    pub async fn acquire_borrowed(&self, n: usize) -> SemaphorePermit<'_> {
        let n = u32::try_from(n).unwrap_or(u32::MAX).min(self.messages_max);
        let permits = self.permits.acquire_many(n).await;
        permits.expect("the semaphore is never closed")
    }

    /// The limit.
    #[must_use]
    pub const fn messages_max(&self) -> usize {
        self.messages_max as usize
    }

    /// Waits until the calls that are open now have ended.
    ///
    /// # Errors
    ///
    /// Fails at the deadline, with the number of those calls that are still open.
    ///
    /// # Cancel safety
    ///
    /// Can be dropped and called again.
    pub async fn flush(&self, deadline: Deadline) -> Result<(), usize> {
        let end = self.calls().next;
        loop {
            let call_ended = self.call_ended.notified();
            tokio::pin!(call_ended);
            // Registers for notifications before the count is read, so that a call that ends in between is not missed.
            call_ended.as_mut().enable();
            let open = self.calls().numbers.range(..end).count();
            if open == 0 {
                return Ok(());
            }
            if deadline.within(call_ended).await.is_none() {
                return Err(open);
            }
        }
    }

    /// Lets no further call begin. Calls that are open go on. Idempotent.
    pub fn close(&self) {
        self.calls().is_closed = true;
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.calls().is_closed
    }

    fn calls(&self) -> MutexGuard<'_, OpenCalls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PublishCall {
    fn drop(&mut self) {
        self.in_flight.calls().numbers.remove(&self.number);
        self.in_flight.call_ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use futures_util::{FutureExt, poll};

    use super::*;

    #[tokio::test]
    async fn a_flush_waits_for_the_calls_before_it_only() {
        let in_flight = InFlight::new(10);
        let before = in_flight.begin().expect("open");
        let mut flush = pin!(in_flight.flush(Deadline::never()));
        assert!(poll!(&mut flush).is_pending());
        let after = in_flight.begin().expect("open");
        drop(before);
        assert_eq!(flush.now_or_never(), Some(Ok(())));
        drop(after);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_reports_how_many_calls_are_open_at_its_deadline() {
        let in_flight = InFlight::new(10);
        let calls = [in_flight.begin(), in_flight.begin(), in_flight.begin()];
        let deadline = Deadline::after(Duration::from_secs(1));
        assert_eq!(in_flight.flush(deadline).await, Err(3));
        drop(calls);
        assert_eq!(in_flight.flush(deadline).await, Ok(()));
    }

    #[tokio::test]
    async fn no_call_begins_after_closing_and_open_ones_go_on() {
        let in_flight = InFlight::new(10);
        let open = in_flight.begin().expect("open");
        in_flight.close();
        in_flight.close();
        assert!(in_flight.is_closed() && in_flight.begin().is_err());
        let mut flush = pin!(in_flight.flush(Deadline::never()));
        assert!(poll!(&mut flush).is_pending());
        drop(open);
        assert_eq!(flush.now_or_never(), Some(Ok(())));
    }

    #[tokio::test]
    async fn permits_bound_the_messages_and_come_back() {
        let in_flight = InFlight::new(4);
        let all = in_flight.acquire(100).await;
        assert_eq!(all.num_permits(), in_flight.messages_max());
        let mut next = pin!(in_flight.acquire(1));
        assert!(poll!(&mut next).is_pending());
        drop(all);
        assert!(next.now_or_never().is_some());
        let borrowed = in_flight.acquire_borrowed(100).await;
        assert_eq!(borrowed.num_permits(), in_flight.messages_max());
        assert!(in_flight.acquire(1).now_or_never().is_none());
    }
}
