//! [`Receive`]: messages to a stage, besides its events.

use std::convert::Infallible;
use std::future::Future;

use super::Context;
use crate::error::BoxError;

/// A stage that receives messages of type `M`. Implement it once for each type of message.
///
/// Messages go through a mailbox of limited size and are received one at a time, between other callbacks:
///
/// - `call` waits for the reply. Events that the stage emits on the way are sent before the reply.
/// - `cast` waits only for room in the mailbox. The reply is dropped.
/// - `info` is received after consumers have asked for all events that are buffered when it arrives. A stage that sends no events
///   receives it like a cast.
///
/// Calls and casts of one sender are received in the order in which they were made, and so are infos. A stage receives nothing, and
/// senders wait, while its buffer is full, and while as many infos wait behind events as its mailbox holds messages. An error ends the
/// stage as [failed](super::End::Failed), and the call fails with [`Closed`](super::Closed).
///
/// `E` is the event type that the stage may emit; a consumer emits none. A stage that calls itself waits forever, and so do two
/// stages that call each other.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Context, Producer, Receive}};
///
/// /// Emits the texts that are pushed to it.
/// struct Queue;
/// struct Push(&'static str);
///
/// impl Producer for Queue {
///     type Event = &'static str;
///
///     async fn handle_demand(&mut self, _: usize, _: &mut Context<&'static str>) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
///
/// impl Receive<Push, &'static str> for Queue {
///     type Reply = usize;
///
///     async fn receive(&mut self, push: Push, cx: &mut Context<&'static str>) -> Result<usize, BoxError> {
///         cx.emit(push.0);
///         Ok(cx.demand())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = stage::producer(Queue).start().await?;
/// let mut events = queue.output().max_demand(10).stream()?;
/// queue.call(Push("hello")).await?;
/// assert_eq!(events.next().await, Some("hello"));
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent `{M}`",
    label = "the stage does not receive this type of message",
    note = "implement `broadway::stage::Receive<{M}, {E}>` for `{Self}`"
)]
pub trait Receive<M, E = Infallible>: Send + 'static {
    /// The value that `call` returns.
    type Reply: Send + 'static;

    /// Receives one message.
    fn receive(
        &mut self,
        message: M,
        cx: &mut Context<E>,
    ) -> impl Future<Output = Result<Self::Reply, BoxError>> + Send;
}
