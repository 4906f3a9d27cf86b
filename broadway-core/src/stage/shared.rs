//! [`Shared`]: an event that is acknowledged when all who got it are done.

use std::fmt;

use tokio::sync::oneshot;

use super::share::Share;
use crate::{
    ack::Outcome,
    error::{BoxError, Callback, Reason},
};

/// An event, and a share in its settlement: joint acknowledgement for events that go to several consumers.
///
/// Each clone is one more share. When the last share has ended, the function that the event was made with is called, once, with
/// the worst end of all: [`Done`](Outcome::Done) if all were done; [`Failed`](Outcome::Failed), with the first reason, if any
/// failed; [`Released`](Outcome::Released) if any was released and none failed. What is dropped without a word counts as
/// failed and says so: an event in the hands of a consumer that panics, one that a full buffer or a dispatcher discards, one that
/// is buffered when the program ends. So nothing is ever acknowledged that was not done.
///
/// ```
/// use broadway_core::{Outcome, stage::Shared};
///
/// let (order, outcome) = Shared::with_outcome("order 7");
/// let copy = order.clone(); // as a dispatcher does, for each target but one
/// order.done();
/// copy.failed("the billing service is away");
/// let Outcome::Failed(reason) = outcome.blocking_recv()? else { unreachable!() };
/// assert_eq!(reason.to_string(), "handle_events failed: the billing service is away");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A consumer settles each event that it has handled:
///
/// ```
/// # use broadway_core::{BoxError, stage::{Consumer, Context, Nothing, Shared, Subscription}};
/// # struct Billing;
/// # impl Billing { async fn book(&self, _: &str) -> Result<(), BoxError> { Ok(()) } }
/// impl Consumer for Billing {
///     type Event = Shared<String>;
///
///     async fn handle_events(
///         &mut self,
///         orders: &mut Vec<Shared<String>>,
///         _from: &Subscription,
///         _cx: &mut Context<Nothing>,
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
/// **Cost.** Two small allocations for an event, whatever the number of shares; a share costs what a clone of an `Arc` does,
/// and no lock.
#[must_use = "an event that is dropped unsettled counts as failed"]
pub struct Shared<T> {
    data: T,
    share: Share,
}

impl<T> Shared<T> {
    /// An event whose end is told to `settle`.
    ///
    /// That is called wherever the last share ends: in any task, perhaps while events are dropped under the lock of a link. So it
    /// should be short and not call stages: let it send to a channel, or add to a list. If it panics, whoever ended the last
    /// share meets the panic; if that was panicking already, the program aborts.
    pub fn new(data: T, settle: impl FnOnce(Outcome) + Send + 'static) -> Self {
        Self {
            data,
            share: Share::new(settle),
        }
    }

    /// An event whose end can be waited for. Who does not want to know any more may drop the receiver.
    pub fn with_outcome(data: T) -> (Self, oneshot::Receiver<Outcome>) {
        let (tell, outcome) = oneshot::channel();
        let shared = Self::new(data, move |outcome| {
            // Nobody wants to know any more.
            let _ = tell.send(outcome);
        });
        (shared, outcome)
    }

    /// The event.
    pub const fn data(&self) -> &T {
        &self.data
    }

    /// The event. Other shares have copies of their own.
    pub const fn data_mut(&mut self) -> &mut T {
        &mut self.data
    }

    /// This share ends well. Returns the event.
    pub fn done(self) -> T {
        self.settle(Outcome::Done)
    }

    /// This share has failed, and with it the event. Returns the event.
    pub fn failed(self, reason: impl Into<BoxError>) -> T {
        let reason = Reason::error(Callback::HandleEvents, reason);
        self.settle(Outcome::Failed(reason))
    }

    /// This share ends as something else has, such as a message of a pipeline. Returns the event.
    pub fn settle(self, outcome: Outcome) -> T {
        self.share.settle(outcome);
        self.data
    }

    /// Another event in the place of this one, with its share. If `f` panics, the share has failed.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Shared<U> {
        let Self { data, share } = self;
        Shared {
            data: f(data),
            share,
        }
    }

    /// Another event beside this one, with one more share: for one event that becomes several.
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
            share: self.share.another(),
        }
    }
}

/// One more share. If the clone of the data panics, there is none.
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
