//! [`Consumer`]: a stage where events end.

use std::future::Future;

use super::{Context, End, Nothing, Subscription, Timer};
use crate::error::BoxError;

/// A stage that receives events, and sends none.
///
/// It demands events of the producers that it is subscribed to: up to `max_demand` of each, and more when no more than
/// `min_demand` of those are still to be handled. So a chunk has at most `max_demand - min_demand` events.
///
/// All callbacks of one stage run one after the other, in one task. An error, or a panic, in any of them ends the stage as
/// [`End::Failed`], unless the stage [restarts](super::ConsumerBuilder::restart). Either way the chunk in hand is gone: what
/// must not be lost needs acknowledgements, as a [pipeline](crate::Pipeline) has them.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Consumer, Context, Nothing, Subscription}};
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
///         _cx: &mut Context<Nothing>,
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
    /// What it receives.
    type Event: Send + 'static;

    /// A chunk of events, in their order; never empty. Drain the `Vec` or just look at it: what is left in it is dropped, and
    /// its memory used again. More is asked for when this returns.
    fn handle_events(
        &mut self,
        events: &mut Vec<Self::Event>,
        from: &Subscription,
        cx: &mut Context<Nothing>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Before anything else, also after a restart.
    fn init(
        &mut self,
        cx: &mut Context<Nothing>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// The stage is subscribed to a producer. After a restart, again for each subscription that there is. With
    /// [manual demand](super::Output::manual) nothing comes before it is [asked](Subscription::ask) for.
    fn handle_subscribe(
        &mut self,
        producer: &Subscription,
        cx: &mut Context<Nothing>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (producer, cx);
        async { Ok(()) }
    }

    /// A subscription has ended, and all that came by it was handled. Afterwards its [`Cancel`](super::Cancel) mode
    /// decides whether the stage ends too.
    fn handle_cancel(
        &mut self,
        producer: &Subscription,
        end: &End,
        cx: &mut Context<Nothing>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (producer, end, cx);
        async { Ok(()) }
    }

    /// A timer that was [started](Context::start_timer) has run out.
    fn handle_timer(
        &mut self,
        timer: Timer,
        cx: &mut Context<Nothing>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = (timer, cx);
        async { Ok(()) }
    }

    /// The last call, also after a failure, but not after a panic.
    fn terminate(&mut self, end: &End) -> impl Future<Output = ()> + Send {
        let _ = end;
        async {}
    }
}
