//! [`Receive`]: messages to a stage, beside the events.

use std::future::Future;

use super::{Context, Nothing};
use crate::error::BoxError;

/// A stage that can be sent messages of type `M`. Implement it once for each type of message.
///
/// Messages go through a mailbox of limited size and are received one at a time, between other callbacks:
///
/// - `call` waits for the reply. Events that were emitted on the way are sent before the reply is.
/// - `cast` waits only for room in the mailbox; the reply is dropped.
/// - `info` is received after all events that are buffered when it arrives have been asked for by consumers. A stage that
///   sends no events receives it like a cast.
///
/// Calls and casts of one sender are received in the order in which they were made, and so are infos. A stage whose buffer is
/// full receives nothing until there is room again: senders wait. Neither does one where as many infos wait behind events as
/// its mailbox has room for, until the first of them was received. An error ends the stage as
/// [failed](super::End::Failed), and the caller learns that there will be no reply.
///
/// `E` is what the stage may emit: the event type of a producer, and nothing for a consumer. A stage that calls itself, or
/// two that call one another, wait for ever.
///
/// ```
/// use broadway_core::{BoxError, stage::{self, Context, Producer, Receive}};
///
/// /// Sends what it is given.
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
    label = "it does not receive such messages",
    note = "implement `broadway::stage::Receive<{M}, {E}>` for `{Self}`"
)]
pub trait Receive<M, E = Nothing>: Send + 'static {
    /// What `call` returns.
    type Reply: Send + 'static;

    /// Receives one message.
    fn receive(
        &mut self,
        message: M,
        cx: &mut Context<E>,
    ) -> impl Future<Output = Result<Self::Reply, BoxError>> + Send;
}
