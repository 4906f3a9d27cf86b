//! Settlement: how the end of a message reaches the source that delivered it.
//!
//! A producer gives every message a *token* of a type of its own (a partition and an offset, a receipt handle, a
//! delivery tag). The engine keeps the token beside the message, out of the user's reach, and hands it back exactly once
//! with an [`Outcome`]: grouped, per chunk and per batch, never one call a message.

use std::sync::Arc;

use crate::{
    error::{BoxError, Reason},
    message::AckOptions,
    telemetry::MessageInfo,
};

/// How a message ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// Its last callback succeeded.
    Done,
    /// A callback failed or panicked. Never to be acknowledged silently: what happens is the source's policy.
    Failed(Reason),
    /// Not handled: the source took it away (a revoked partition, an expired lease), or the topology drains and the source
    /// [delivers it again](Acknowledger::redelivers). Neither an acknowledgement nor a failure.
    Released,
}

impl Outcome {
    /// Whether the message succeeded.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether the message failed.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// A token that comes back to its acknowledger.
#[derive(Debug)]
pub struct Settled<K> {
    /// What the producer gave with the message.
    pub token: K,
    /// How the message ended.
    pub outcome: Outcome,
    options: AckOptions,
}

impl<K> Settled<K> {
    pub(crate) fn new(token: K, outcome: Outcome, options: AckOptions) -> Self {
        Self {
            token,
            outcome,
            options,
        }
    }

    /// The same end of a message under another token.
    pub(crate) fn map<L>(self, f: impl FnOnce(K) -> L) -> Settled<L> {
        Settled {
            token: f(self.token),
            outcome: self.outcome,
            options: self.options,
        }
    }

    /// As the engine makes it: for tests of a connector by itself.
    #[must_use]
    pub fn for_test(token: K, outcome: Outcome) -> Self {
        Self::new(token, outcome, None)
    }

    /// With what a user would have set with [`Message::configure_ack`](crate::Message::configure_ack).
    #[must_use]
    pub fn with_options<O: Send + 'static>(mut self, options: O) -> Self {
        self.options = Some(Box::new(Box::new(options)));
        self
    }

    /// What the user set for this message with [`Message::configure_ack`](crate::Message::configure_ack), if
    /// anything.
    #[must_use]
    pub fn options<O: 'static>(&self) -> Option<&O> {
        self.options
            .as_ref()
            .and_then(|options| options.downcast_ref())
    }
}

/// The half of a producer that learns how messages ended. Implemented by connectors; users never meet it.
///
/// It is shared by all processors and batch processors, which call it concurrently, and it outlives its producer: results
/// of messages still in flight when a producer failed and was reopened come to the acknowledger that they began
/// with.
pub trait Acknowledger: Send + Sync + 'static {
    /// What identifies a delivery. Keep it small: it travels with every message.
    type Token: Send + 'static;

    /// Takes a group of ended messages, in the order in which they ended. Drain the `Vec`: its memory is used
    /// again.
    ///
    /// Settling may buffer (ten deletes in one call, a commit per interval): a settled message is *handed over*, and
    /// [`SourceProducer::close`](crate::SourceProducer::close) returns only when all that was handed over is confirmed, or fails.
    ///
    /// # Errors
    ///
    /// Reported as an event, with the number of messages; the pipeline goes on. Retry inside where that can help. Messages left in
    /// the `Vec` are named in the event and its log line.
    ///
    /// # Cancel safety
    ///
    /// Dropped only when the topology is aborted.
    fn settle(
        &self,
        settled: &mut Vec<Settled<Self::Token>>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// A counter that moves whenever delivered messages may have become somebody else's (a revoked partition, a lost
    /// channel). Read once per chunk; only when it moved is [`is_stale`](Self::is_stale) asked for each message.
    fn generation(&self) -> u64 {
        0
    }

    /// Whether the message of this token is no longer ours. Such a message is released unhandled.
    fn is_stale(&self, token: &Self::Token) -> bool {
        let _ = token;
        false
    }

    /// Whether the source delivers the message of this token again when it is [released](Outcome::Released): to another consumer,
    /// or to this program when it runs again. Asked when a topology drains, of messages that no handler has begun: with `true`
    /// the message is released, and the drain does not wait for it. With `false` it is handled first. Defaults to `false`.
    ///
    /// Messages are released after [`SourceProducer::stop`](crate::SourceProducer::stop) has returned, so a source that stopped reading does
    /// not get them back. It may be asked more than once for a message, and may change its mind.
    fn redelivers(&self, token: &Self::Token) -> bool {
        let _ = token;
        false
    }

    /// What logs say of the message of this token: its coordinates (`orders[3]@88127`, a delivery tag, a message id), as a
    /// [`MessageInfo::new`]. Never its payload.
    ///
    /// Called only for messages that are named in a log, a few in a second, and where the item is not at hand or
    /// [`SourceProducer::describe`](crate::SourceProducer::describe) says less of it. Defaults to nothing.
    fn describe(&self, token: &Self::Token) -> MessageInfo {
        let _ = token;
        MessageInfo::default()
    }

    /// How many messages that were settled as done will be delivered again all the same, if the source ends now: a log commits no
    /// further than its first unfinished message. Asked when a topology has ended by force, after its producers were closed, for
    /// the number that [`RunError`](crate::RunError) tells. Defaults to 0.
    fn repeats(&self) -> u64 {
        0
    }

    /// Whether [`begin`](Self::begin) is called. Defaults to false, which costs nothing.
    const WANTS_BEGIN: bool = false;

    /// The messages of these tokens are about to be handled: called once per chunk, before
    /// [`generation`](Self::generation) is read for it. A message that was not begun and is [stale](Self::is_stale) is never
    /// handled; so a source that takes a part of its input away knows what may still end as done. Some of the chunk may
    /// be given back and begun again later.
    fn begin<'a>(&self, tokens: impl Iterator<Item = &'a Self::Token>)
    where
        Self::Token: 'a,
    {
        let _ = tokens;
    }
}

impl<A: Acknowledger> Acknowledger for Arc<A> {
    type Token = A::Token;

    const WANTS_BEGIN: bool = A::WANTS_BEGIN;

    fn begin<'a>(&self, tokens: impl Iterator<Item = &'a Self::Token>)
    where
        Self::Token: 'a,
    {
        A::begin(self, tokens);
    }

    fn settle(
        &self,
        settled: &mut Vec<Settled<Self::Token>>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        A::settle(self, settled)
    }

    fn generation(&self) -> u64 {
        A::generation(self)
    }

    fn is_stale(&self, token: &Self::Token) -> bool {
        A::is_stale(self, token)
    }

    fn redelivers(&self, token: &Self::Token) -> bool {
        A::redelivers(self, token)
    }

    fn describe(&self, token: &Self::Token) -> MessageInfo {
        A::describe(self, token)
    }

    fn repeats(&self) -> u64 {
        A::repeats(self)
    }
}

/// For sources that need no acknowledgement: the token is `()` and settling does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopAcknowledger;

impl Acknowledger for NoopAcknowledger {
    type Token = ();

    async fn settle(&self, settled: &mut Vec<Settled<()>>) -> Result<(), BoxError> {
        settled.clear();
        Ok(())
    }
}
