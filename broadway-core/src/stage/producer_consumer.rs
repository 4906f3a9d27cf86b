//! [`ProducerConsumer`]: a stage that receives events and sends others.

use std::future::Future;

use super::{Context, End, Subscription, SubscriptionId, Timer};
use crate::error::BoxError;

/// A stage that receives events and sends others: none, one or many for each.
///
/// It takes a chunk only while its consumers have demand, so a slow consumer slows it down, and through it its producers. It may emit
/// more than was demanded: the surplus waits in its [`Buffer`](super::Buffer), and no further chunk is taken before that is empty. Each
/// stage has a demand of its own, so up to `max_demand` events of each producer wait before it.
///
/// The callbacks of a stage run one after the other, in one task. An error or a panic in any of them ends the stage as
/// [`End::Failed`], unless the stage [restarts](super::ProducerConsumerBuilder::restart). Either way the current chunk is lost.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Context, ProducerConsumer, Subscription}};
///
/// struct Evens;
///
/// impl ProducerConsumer for Evens {
///     type In = u64;
///     type Out = u64;
///
///     async fn handle_events(
///         &mut self,
///         events: &mut Vec<u64>,
///         _from: &Subscription,
///         cx: &mut Context<u64>,
///     ) -> Result<(), BoxError> {
///         cx.emit_all(events.drain(..).filter(|n| n % 2 == 0));
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..100).start().await?;
/// let evens = stage::producer_consumer(Evens).subscribe_to(numbers.output()).start().await?;
/// let mut stream = evens.output().stream()?;
/// assert_eq!((stream.next().await, stream.next().await), (Some(0), Some(2)));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a stage that receives and sends",
    label = "`stage::producer_consumer` takes one",
    note = "implement `broadway::stage::ProducerConsumer` for it, or wrap a closure with `stage::map` or `stage::flat_map`"
)]
pub trait ProducerConsumer: Send + Sized + 'static {
    /// The events that it receives.
    type In: Send + 'static;
    /// The events that it sends.
    type Out: Send + 'static;

    /// Handles a chunk of events, in their order; it is never empty. Events left in the `Vec` are dropped, and its memory is reused.
    /// More events are demanded when this returns.
    fn handle_events(
        &mut self,
        events: &mut Vec<Self::In>,
        from: &Subscription,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Called before any other callback, also after a restart.
    fn init(
        &mut self,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// As [`Consumer::handle_subscribe`](super::Consumer::handle_subscribe).
    fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (producer, cx);
        async { Ok(()) }
    }

    /// As [`Consumer::handle_cancel`](super::Consumer::handle_cancel).
    fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (producer, end, cx);
        async { Ok(()) }
    }

    /// As [`Producer::consumer_subscribed`](super::Producer::consumer_subscribed).
    fn consumer_subscribed(
        &mut self,
        consumer: SubscriptionId,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (consumer, cx);
        async { Ok(()) }
    }

    /// As [`Producer::consumer_cancelled`](super::Producer::consumer_cancelled).
    fn consumer_cancelled(
        &mut self,
        consumer: SubscriptionId,
        end: &End,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (consumer, end, cx);
        async { Ok(()) }
    }

    /// Called when a timer that the stage [started](Context::start_timer) has run out.
    fn handle_timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Self::Out>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (timer, cx);
        async { Ok(()) }
    }

    /// As [`Producer::handle_discarded`](super::Producer::handle_discarded).
    fn handle_discarded(
        &mut self,
        discarded: &mut Vec<Self::Out>,
        cx: &mut Context<Self::Out>,
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
