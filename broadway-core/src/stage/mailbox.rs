//! Messages on their way to a stage, and [`Closed`]: the error if they do not arrive.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use tokio::sync::oneshot;

use super::{Context, Receive};
use crate::error::BoxError;

/// A message of any type to a stage `S`, which may emit `E`.
pub(super) struct StageMessage<S, E> {
    pub(super) order: DeliveryOrder,
    message: Box<dyn ErasedMessage<S, E>>,
}

/// When a message is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryOrder {
    /// In the order of the mailbox.
    Now,
    /// Behind the events that are buffered.
    AfterEvents,
}

/// The reply to a message that was received, whose type is erased.
pub(super) trait ErasedReply: Send {
    fn send(self: Box<Self>);
}

type ReceiveFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Box<dyn ErasedReply>, BoxError>> + Send + 'a>>;

/// A message whose type is erased.
trait ErasedMessage<S, E>: Send {
    fn receive<'a>(self: Box<Self>, stage: &'a mut S, cx: &'a mut Context<E>) -> ReceiveFuture<'a>;
}

impl<S, E> StageMessage<S, E> {
    /// Makes a message, and the receiver of its reply.
    pub(super) fn new<M>(message: M, order: DeliveryOrder) -> (Self, oneshot::Receiver<S::Reply>)
    where
        S: Receive<M, E>,
        M: Send + 'static,
        E: Send + 'static,
    {
        let (reply_to, reply) = oneshot::channel();
        let message = Box::new(TypedMessage { message, reply_to });
        (Self { order, message }, reply)
    }

    /// Lets the stage receive the message. The caller sends the reply, after the events that the stage emitted.
    pub(super) async fn receive(
        self,
        stage: &mut S,
        cx: &mut Context<E>,
    ) -> Result<Box<dyn ErasedReply>, BoxError> {
        self.message.receive(stage, cx).await
    }
}

struct TypedMessage<M, R> {
    message: M,
    reply_to: oneshot::Sender<R>,
}

struct TypedReply<R> {
    reply: R,
    reply_to: oneshot::Sender<R>,
}

impl<R: Send> ErasedReply for TypedReply<R> {
    fn send(self: Box<Self>) {
        // A sender that cast the message, or gave up on its call, does not receive.
        let _ = self.reply_to.send(self.reply);
    }
}

impl<S, E, M> ErasedMessage<S, E> for TypedMessage<M, S::Reply>
where
    S: Receive<M, E>,
    M: Send + 'static,
    E: Send + 'static,
{
    fn receive<'a>(self: Box<Self>, stage: &'a mut S, cx: &'a mut Context<E>) -> ReceiveFuture<'a> {
        let Self { message, reply_to } = *self;
        Box::pin(async move {
            let reply = stage.receive(message, cx).await?;
            let reply: Box<dyn ErasedReply> = Box::new(TypedReply { reply, reply_to });
            Ok(reply)
        })
    }
}

/// The message was not received, or its reply will not come: the stage has ended, or failed at this message.
#[derive(Clone, PartialEq, Eq)]
pub struct Closed {
    stage: Arc<str>,
}

impl Closed {
    pub(super) fn new(stage: &Arc<str>) -> Self {
        Self {
            stage: Arc::clone(stage),
        }
    }

    /// Returns the name of the stage.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.stage
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stage {} has ended, or failed at this message: call `join` for the reason",
            self.stage
        )
    }
}

impl std::error::Error for Closed {}
