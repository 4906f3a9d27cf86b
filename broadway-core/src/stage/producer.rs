//! [`Producer`]: a stage that produces events on demand.

use std::{
    future::Future,
    task::{Context as Task, Poll},
};

use super::{Context, End, SubscriptionId, Timer};
use crate::error::BoxError;

/// A stage that sends events and receives none.
///
/// [`handle_demand`](Self::handle_demand) asks it for events. It may emit them then, later, or from any other callback. The callbacks
/// of a stage run one after the other, in one task. An error or a panic in any of them ends the stage as [`End::Failed`], unless the
/// stage [restarts](super::ProducerBuilder::restart).
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
    note = "implement `broadway::stage::Producer` for it, or use `stage::from_iter`, `from_stream` or `from_receiver`"
)]
pub trait Producer: Send + Sized + 'static {
    /// The events that it sends.
    type Event: Send + 'static;

    /// Called when consumers ask for `demand` more events, at least one. `demand` is the new part only: events that were asked for
    /// before and not emitted are still wanted. [`Context::demand`] returns the sum.
    ///
    /// Emit that many events now or later. Events beyond the demand wait in the stage's [`Buffer`](super::Buffer).
    ///
    /// The stage does nothing else until this returns; even a [stop](super::ProducerHandle::stop) waits. To read from something that
    /// may take long, use [`poll_more`](Self::poll_more), as [`from_stream`](super::from_stream) does, or a separate task that
    /// [casts](super::ProducerHandle::cast) what it reads to the stage.
    fn handle_demand(
        &mut self,
        demand: usize,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Reads events from outside, such as a stream, a socket or a channel. Polled while there is demand and nothing else to do.
    ///
    /// Emit up to [`Context::demand`] events and return ready, or arrange to be woken and return pending. Unlike what
    /// `handle_demand` awaits, this delays neither messages nor a stop. It must not block, nor lose an event between two polls.
    fn poll_more(
        &mut self,
        task: &mut Task<'_>,
        cx: &mut Context<Self::Event>,
    ) -> Poll<Result<(), BoxError>> {
        let _ = (task, cx);
        Poll::Pending
    }

    /// Called before any other callback, also after a restart.
    fn init(
        &mut self,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Called when a consumer has subscribed.
    fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (consumer, cx);
        async { Ok(()) }
    }

    /// Called when a subscription has ended: it was cancelled, or its consumer has ended. Events that it demanded and did not get go to
    /// other consumers.
    fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (consumer, end, cx);
        async { Ok(()) }
    }

    /// Called when a timer that the stage [started](Context::start_timer) has run out.
    fn handle_timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (timer, cx);
        async { Ok(()) }
    }

    /// Called with events that are discarded as the [buffer](super::Buffer) has no room for them, oldest first. Events left in the
    /// `Vec` are dropped. Not called for events that the function of a partition dispatcher maps to `None`.
    fn handle_discarded(
        &mut self,
        discarded: &mut Vec<Self::Event>,
        cx: &mut Context<Self::Event>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (discarded, cx);
        async { Ok(()) }
    }

    /// Called last, also after an error, but not after a panic.
    fn terminate(&mut self, end: &End) -> impl Future<Output = ()> + Send {
        let _ = end;
        async {}
    }
}
