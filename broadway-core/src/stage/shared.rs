//! [`Shared`]: an event that is settled once all its consumers are done.

use std::fmt;

use tokio::sync::oneshot;

use super::share::Share;
use crate::{
    ack::Outcome,
    error::{BoxError, Callback, Reason},
};

/// An event with a share in its settlement: joint acknowledgement for events that go to several consumers.
///
/// Each clone is another share. When the last share is settled, the function that the event was made with is called, once, with the
/// worst outcome of all shares: [`Done`](Outcome::Done) if all were done; [`Failed`](Outcome::Failed), with the first reason, if any
/// failed; [`Delayed`](Outcome::Delayed), by the longest delay, if any was delayed or
/// [parked](Outcome::Parked) and none failed; [`Released`](Outcome::Released) if any
/// was released and no other was worse. A share that is dropped unsettled counts as failed: an
/// event that a consumer holds when it panics, one that a full buffer or a dispatcher discards, one that is buffered when the program
/// ends. So an event is acknowledged only if all its consumers are done with it.
///
/// ```
/// use broadway_core::{Outcome, stage::Shared};
///
/// let (order, outcome) = Shared::with_outcome("order 7");
/// let copy = order.clone(); // as a dispatcher does, for every target but one
/// order.done();
/// copy.failed("the billing service is down");
/// let Outcome::Failed(reason) = outcome.blocking_recv()? else { unreachable!() };
/// assert_eq!(reason.to_string(), "handle_events failed: the billing service is down");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A consumer settles each event that it has handled:
///
/// ```
/// # use broadway_core::{BoxError, stage::{Consumer, Context, Shared, Subscription}};
/// # use std::convert::Infallible;
/// # struct Billing;
/// # impl Billing { async fn book(&self, _: &str) -> Result<(), BoxError> { Ok(()) } }
/// impl Consumer for Billing {
///     type Event = Shared<String>;
///
///     async fn handle_events(
///         &mut self,
///         orders: &mut Vec<Shared<String>>,
///         _from: &Subscription,
///         _cx: &mut Context<Infallible>,
///     ) -> Result<(), BoxError> {
///         for order in orders.drain(..) {
///             match self.book(order.data()).await {
///                 Ok(()) => order.done(),
///                 Err(error) => order.failed(error),
///             };
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// **Cost.** Two small allocations per event, whatever the number of shares. A share costs the clone of an `Arc`, and no lock.
#[must_use = "an event that is dropped unsettled counts as failed"]
pub struct Shared<T> {
    data: T,
    share: Share,
}

impl<T> Shared<T> {
    /// Makes an event whose outcome is passed to `settle`.
    ///
    /// `settle` is called where the last share is settled or dropped: in any task, perhaps while events are dropped under the lock of a
    /// link. So it should be short and must not call stages: let it send to a channel, or add to a list. If it panics, the panic
    /// reaches the code that settled the last share; if that is panicking already, the program aborts.
    pub fn new(data: T, settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self {
            data,
            share: Share::new(settle),
        }
    }

    /// Makes an event whose outcome can be awaited. The receiver may be dropped at any time.
    pub fn with_outcome(data: T) -> (Self, oneshot::Receiver<Outcome>) {
        let (sender, outcome) = oneshot::channel();
        let shared = Self::new(data, move |outcome| {
            // Fails if the receiver was dropped.
            let _ = sender.send(outcome);
        });
        (shared, outcome)
    }

    /// Returns the event.
    pub const fn data(&self) -> &T {
        &self.data
    }

    /// Returns the event for changes. Other shares have their own copies.
    pub const fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }

    /// Settles this share as done. Returns the event.
    pub fn done(self) -> T {
        self.settle(Outcome::Done)
    }

    /// Settles this share, and with it the event, as failed. Returns the event.
    pub fn failed(self, reason: impl Into<BoxError>) -> T {
        let reason = Reason::error(Callback::HandleEvents, reason);
        self.settle(Outcome::Failed(reason))
    }

    /// Settles this share with an outcome, such as the outcome of a pipeline's message. Returns the event.
    pub fn settle(self, outcome: Outcome) -> T {
        self.share.settle(outcome);
        self.data
    }

    /// Replaces the event, and keeps the share. If `f` panics, the share counts as failed.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Shared<U> {
        let Self { data, share } = self;
        Shared {
            data: f(data),
            share,
        }
    }

    /// Makes another event, with another share in the same settlement: for one event that becomes several.
    ///
    /// ```
    /// use broadway_core::stage::Shared;
    ///
    /// let (order, mut outcome) = Shared::with_outcome(vec!["tea", "milk"]);
    /// let lines: Vec<Shared<&str>> = order.data().iter().map(|line| order.share(*line)).collect();
    /// order.done();
    /// for line in lines {
    ///     assert!(outcome.try_recv().is_err()); // not yet
    ///     line.done();
    /// }
    /// assert!(outcome.try_recv()?.is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn share<U>(&self, data: U) -> Shared<U> {
        Shared {
            data,
            share: self.share.split(),
        }
    }
}

/// Makes another share. If the clone of the data panics, the settlement is unchanged.
impl<T: Clone> Clone for Shared<T> {
    fn clone(&self) -> Self {
        self.share(self.data.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.data).finish()
    }
}
