//! [`Producer`]: a stage that makes events when it is asked.

use std::{
    future::Future,
    task::{Context as Task, Poll},
};

use super::{Context, End, SubscriptionId, Timer};
use crate::error::BoxError;

/// A stage that sends events, and receives none.
///
/// It is asked with [`handle_demand`](Self::handle_demand), and may emit then, later, or from any other callback. All
/// callbacks of one stage run one after the other, in one task. An error, or a panic, in any of them ends the stage as
/// [`End::Failed`], unless the stage [restarts](super::ProducerBuilder::restart).
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Context, Producer}};
///
/// struct Counter(u64);
///
/// impl Producer for Counter {
///     type Event = u64;
///
///     async fn handle_demand(&mut self, demand: usize, cx: &mut Context<u64>) -> Result<(), BoxError> {
///         cx.emit_all((self.0..).take(demand));
///         self.0 += demand as u64;
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let counter = stage::producer(Counter(0)).name("counter").start().await?;
/// let mut numbers = counter.output().max_demand(10).stream()?;
/// assert_eq!(numbers.next().await, Some(0));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a producing stage",
    label = "`stage::producer` takes one",
    note = "implement `broadway::stage::Producer` for it, or use `stage::from_iter`, `from_stream` or `from_receiver` for what is at hand"
)]
pub trait Producer: Send + Sized + 'static {
    /// What it sends.
    type Event: Send + 'static;

    /// `demand` more events are asked for, at least one: the new part only. What was asked for before and not emitted is still
    /// wanted; [`Context::demand`] is the sum.
    ///
    /// Emit as many now or later. What is emitted beyond the demand waits in the stage's [`Buffer`](super::Buffer).
    ///
    /// Nothing else happens to the stage until this returns, not even an orderly [stop](super::ProducerHandle::stop). What waits
    /// long for something from outside is better read in [`poll_more`](Self::poll_more), as [`from_stream`](super::from_stream)
    /// does, or by a task of its own, which [casts](super::ProducerHandle::cast) it here.
    fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Polled while events are asked for and nothing else happens, for what comes by itself: a stream, a socket, a channel.
    /// Emit up to [`Context::demand`] events and be ready, or arrange to be woken and be pending. Unlike what
    /// `handle_demand` awaits, this holds up neither messages nor a stop. Must not block, and an event must not be lost between
    /// two polls.
    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        cx: &mut Context<Self::Event>,
    ) -> Poll<Result<(), BoxError>> {
        let _ = (task, cx);
        Poll::Pending
    }

    /// Before anything else, also after a restart.
    fn init(
        &mut self,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// A consumer has subscribed.
    fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (consumer, cx);
        async { Ok(()) }
    }

    /// A subscription has ended: cancelled, or its consumer came to its end. What it had demanded and did not get is for
    /// others.
    fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (consumer, end, cx);
        async { Ok(()) }
    }

    /// A timer that was [started](Context::start_timer) has run out.
    fn handle_timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (timer, cx);
        async { Ok(()) }
    }

    /// Events that had no room in the [buffer](super::Buffer) are discarded. Called with those, oldest first; what is left in
    /// the `Vec` is dropped. Not for events that the function of a partition dispatcher maps to `None`: it has chosen so.
    fn handle_discarded(
        &mut self,
        discarded: &mut Vec<Self::Event>,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (discarded, cx);
        async { Ok(()) }
    }

    /// The last call, also after a failure, but not after a panic.
    fn terminate(&mut self, end: &End) -> impl Future<Output = ()> + Send {
        let _ = end;
        async {}
    }
}
