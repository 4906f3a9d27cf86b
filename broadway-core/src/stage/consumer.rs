//! [`Consumer`]: a stage that receives events and sends none.

use std::convert::Infallible;
use std::future::Future;

use super::{Context, End, Subscription, Timer};
use crate::error::BoxError;

/// A stage that receives events and sends none.
///
/// It demands up to `max_demand` events of each producer that it is subscribed to, and more when no more than `min_demand` of those are
/// still to be handled. So a chunk has at most `max_demand - min_demand` events.
///
/// The callbacks of a stage run one after the other, in one task. An error or a panic in any of them ends the stage as
/// [`End::Failed`], unless the stage [restarts](super::ConsumerBuilder::restart). Either way the current chunk is lost. Events that
/// must not be lost need acknowledgements, as a [pipeline](crate::Pipeline) has.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Consumer, Context, Subscription}};
/// use std::convert::Infallible;
///
/// struct Printer;
///
/// impl Consumer for Printer {
///     type Event = u64;
///
///     async fn handle_events(
///         &mut self,
///         events: &mut Vec<u64>,
///         _from: &Subscription,
///         _cx: &mut Context<Infallible>,
///     ) -> Result<(), BoxError> {
///         println!("{events:?}");
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let numbers = stage::from_iter(0..100).start().await?;
/// let printer = stage::consumer(Printer)
///     .subscribe_to(numbers.output().max_demand(10))
///     .start()
///     .await?;
/// assert!(!printer.join().await.is_failed()); // the numbers end, so the printer does
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a consuming stage",
    label = "`stage::consumer` takes one",
    note = "implement `broadway::stage::Consumer` for it, or wrap an async closure with `stage::for_each`"
)]
pub trait Consumer: Send + Sized + 'static {
    /// The events that it receives.
    type Event: Send + 'static;

    /// Handles a chunk of events, in their order; it is never empty. Draining the `Vec` is optional: events left in it are dropped, and
    /// its memory is reused. More events are demanded when this returns.
    fn handle_events(
        &mut self,
        events: &mut Vec<Self::Event>,
        from: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Called before any other callback, also after a restart.
    fn init(
        &mut self,
        cx: &mut Context<Infallible>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Called when the stage is subscribed to a producer. After a restart it is called again for each subscription. With
    /// [manual demand](super::Output::manual) no events arrive before the stage [asks](Subscription::ask) for them.
    fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        cx: &mut Context<Infallible>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (producer, cx);
        async { Ok(()) }
    }

    /// Called when a subscription has ended and all its events are handled. Afterwards its [`Cancel`](super::Cancel) mode decides
    /// whether the stage ends, too.
    fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Infallible>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (producer, end, cx);
        async { Ok(()) }
    }

    /// Called when a timer that the stage [started](Context::start_timer) has run out.
    fn handle_timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Infallible>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (timer, cx);
        async { Ok(()) }
    }

    /// Called last, also after an error, but not after a panic.
    fn terminate(&mut self, end: &End) -> impl Future<Output = ()> + Send {
        let _ = end;
        async {}
    }
}
