//! Messages on their way to a stage.

use std::{fmt, future::Future, pin::Pin};

use tokio::sync::oneshot;

use super::{Context, Receive};
use crate::error::BoxError;

/// A message of any type to a stage `S`, which may emit `E`.
pub(super) struct Mail<S, E> {
    pub(super) delivery: Delivery,
    envelope: Box<dyn Envelope<S, E>>,
}

/// When a message is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Next.
    Now,
    /// Behind the events that are buffered.
    BehindEvents,
}

/// A message that was received, and its reply on the way.
pub(super) trait Reply: Send {
    fn send(self: Box<Self>);
}

type Received<'a> = Pin<Box<dyn Future<Output = Result<Box<dyn Reply>, BoxError>> + Send + 'a>>;

/// A message whose type is forgotten.
trait Envelope<S, E>: Send {
    fn open<'a>(self: Box<Self>, stage: &'a mut S, cx: &'a mut Context<E>) -> Received<'a>;
}

impl<S, E> Mail<S, E> {
    /// A message, and where its reply comes.
    pub(super) fn new<M>(message: M, delivery: Delivery) -> (Self, oneshot::Receiver<S::Reply>)
    where
        S: Receive<M, E>,
        M: Send + 'static,
        E: Send + 'static,
    {
        let (reply_to, reply) = oneshot::channel();
        let envelope = Box::new(Letter { message, reply_to });
        let mail = Self { delivery, envelope };
        (mail, reply)
    }

    /// Receives it. The reply is sent by the caller, when what was emitted is.
    pub(super) async fn open(
        self,
        stage: &mut S,
        cx: &mut Context<E>,
    ) -> Result<Box<dyn Reply>, BoxError> {
        self.envelope.open(stage, cx).await
    }
}

struct Letter<M, R> {
    message: M,
    reply_to: oneshot::Sender<R>,
}

struct Answer<R> {
    reply: R,
    reply_to: oneshot::Sender<R>,
}

impl<R: Send> Reply for Answer<R> {
    fn send(self: Box<Self>) {
        // Who cast the message, or gave up, does not want it.
        let _ = self.reply_to.send(self.reply);
    }
}

impl<S, E, M> Envelope<S, E> for Letter<M, S::Reply>
where
    S: Receive<M, E>,
    M: Send + 'static,
    E: Send + 'static,
{
    fn open<'a>(self: Box<Self>, stage: &'a mut S, cx: &'a mut Context<E>) -> Received<'a> {
        let Self { message, reply_to } = *self;
        Box::pin(async move {
            let reply = stage.receive(message, cx).await?;
            let answer: Box<dyn Reply> = Box::new(Answer { reply, reply_to });
            Ok(answer)
        })
    }
}

/// The message was not received, or its reply will not come: the stage has ended, or fails at this message.
#[derive(Clone, PartialEq, Eq)]
pub struct StageGone {
    stage: std::sync::Arc<str>,
}

impl StageGone {
    pub(super) fn new(stage: &std::sync::Arc<str>) -> Self {
        Self {
            stage: std::sync::Arc::clone(stage),
        }
    }

    /// The name of the stage.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.stage
    }
}

impl fmt::Display for StageGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "stage {} has ended, or failed at this message: `join` tells how",
            self.stage
        )
    }
}

impl std::error::Error for StageGone {}
