//! Settlement: how the outcome of a message reaches the source that delivered it.
//!
//! A producer delivers every message with a *token* of its own type (a partition and an offset, a receipt handle, a delivery tag).
//! The pipeline keeps the token beside the message, where users cannot reach it, and returns it exactly once, with an [`Outcome`], in
//! groups: one call per chunk or batch, never one per message.

use std::{sync::Arc, time::Duration};

use crate::{
    error::{BoxError, Reason},
    message::{self, AckOptions},
    telemetry::MessageInfo,
};

/// How a message ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// The last callback succeeded.
    Done,
    /// A callback failed or panicked. The source's policy decides what happens; it must not acknowledge the message silently.
    Failed(Reason),
    /// The message was not handled: the source lost it (a revoked partition, an expired lease), or the topology drains and the source
    /// [delivers it again](Acknowledger::redelivers). Neither an acknowledgement nor a failure.
    Released,
    /// The message was not handled; the source delivers it again after this time, not before. Neither an acknowledgement nor a
    /// failure. At most the [`Acknowledger::delay_max`] of its token; a source that cannot delay it treats it as released.
    Delayed(Duration),
    /// The message waits for its next attempt at its source, which delivers it again after `pause`, not before: a callback failed and the
    /// message is [retried](crate::Retry::park_after), or its handler [postponed](crate::postpone) it. Neither an acknowledgement nor a
    /// failure. Only for a token for which [`Acknowledger::parks`] has returned `true`; any other source treats it as delayed, or as
    /// released.
    Parked {
        /// How long the message waits at least.
        pause: Duration,
        /// How often it was handled without success, in all deliveries together; 0 if it was only postponed. The source keeps the number
        /// for [`Acknowledger::attempts`] until the message is done or has failed.
        attempts: u32,
    },
}

impl Outcome {
    /// Returns whether the message succeeded.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Returns whether the message failed.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// A token that returns to its acknowledger, with the outcome of its message.
#[derive(Debug)]
pub struct Settled<K> {
    /// The token that the producer delivered with the message.
    pub token: K,
    /// The outcome of the message.
    pub outcome: Outcome,
    options: AckOptions,
}

impl<K> Settled<K> {
    pub(crate) const fn new(token: K, outcome: Outcome, options: AckOptions) -> Self {
        Self {
            token,
            outcome,
            options,
        }
    }

    pub(crate) const fn done(token: K) -> Self {
        Self::new(token, Outcome::Done, None)
    }

    pub(crate) fn into_parts(self) -> (K, Outcome, AckOptions) {
        (self.token, self.outcome, self.options)
    }

    /// Whether it can go to [`Acknowledger::settle_done`].
    pub(crate) fn is_plainly_done(&self) -> bool {
        self.outcome.is_done() && self.options.is_none()
    }

    /// Replaces the token.
    pub(crate) fn map<L>(self, f: impl FnOnce(K) -> L) -> Settled<L> {
        Settled {
            token: f(self.token),
            outcome: self.outcome,
            options: self.options,
        }
    }

    /// Creates the settlement of a message that was not handled, as [`Outcome::Released`]: for programs that read a source without a pipeline.
    #[must_use]
    pub const fn released(token: K) -> Self {
        Self::new(token, Outcome::Released, None)
    }

    /// Creates one as the pipeline does, for tests of a connector without a pipeline.
    #[must_use]
    pub fn for_test(token: K, outcome: Outcome) -> Self {
        Self::new(token, outcome, None)
    }

    /// Adds options as a user would with [`Message::configure_ack`](crate::Message::configure_ack).
    #[must_use]
    pub fn with_options<O: Send + 'static>(mut self, options: O) -> Self {
        self.options = Some(Box::new(Box::new(options)));
        self
    }

    /// Returns the options that the user set with [`Message::configure_ack`](crate::Message::configure_ack), or `None` if none
    /// were set or they are of another type.
    ///
    /// Options of another type reach a source if its items were mapped to an item with other
    /// [`AckOptions`](crate::Record::AckOptions). The first time that happens in a process, a warning is logged (feature `tracing`).
    #[must_use]
    pub fn options<O: 'static>(&self) -> Option<&O> {
        let given = self.options.as_ref()?;
        let options = given.downcast_ref();
        if options.is_none() {
            message::warn_of_ignored_options(std::any::type_name::<O>());
        }
        options
    }
}

/// The half of a producer that receives the outcomes of messages. Implemented by authors of sources.
///
/// Processors and batch processors share the acknowledger and call it concurrently. It outlives its producer: when a producer fails
/// and is opened again, the outcomes of messages in flight go to the acknowledger of the producer that delivered them.
pub trait Acknowledger: Send + Sync + 'static {
    /// Identifies a delivery. Keep it small: it travels with every message.
    type Token: Send + 'static;

    /// Settles a group of messages, in the order in which they ended. Drain the `Vec`: its memory is reused.
    ///
    /// An implementation may buffer (ten deletes in one call, one commit per interval): a settled message is *handed over*.
    /// [`SourceProducer::close`](crate::SourceProducer::close) returns only when everything that was handed over is confirmed, or
    /// fails.
    ///
    /// # Errors
    ///
    /// An error is reported as an event with the number of messages, and the pipeline continues. Retry inside if that can help.
    /// Messages left in the `Vec` are named in the event and its log line.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped only if the topology is aborted.
    fn settle(
        &self,
        settled: &mut Vec<Settled<Self::Token>>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Settles a group of messages that all have [`Outcome::Done`] and no [options](Settled::options). Defaults to calling [`settle`](Self::settle) with them.
    ///
    /// The pipeline calls this or `settle` for a group, never both. Messages come in the order in which they ended across both, so
    /// a group in which one message failed goes to `settle` as a whole. Implement it where a token alone is cheaper to record than
    /// a [`Settled`]; both must have the same effect. Drain the `Vec`: its memory is reused.
    ///
    /// # Errors
    ///
    /// As for `settle`: an error or a panic is reported as an event, with the messages that were left in the `Vec`.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped only if the topology is aborted.
    fn settle_done(
        &self,
        done: &mut Vec<Self::Token>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        async move {
            let mut group = DoneGroup {
                settled: done.drain(..).map(Settled::done).collect(),
                done,
            };
            self.settle(&mut group.settled).await
        }
    }

    /// Returns a counter that changes whenever the source may have lost delivered messages (a revoked partition, a closed channel).
    /// Read once per chunk; [`is_stale`](Self::is_stale) is called for each message only after a change. Defaults to 0.
    fn generation(&self) -> u64 {
        0
    }

    /// Returns whether the source has lost the message of this token. Such a message is released unhandled. Defaults to `false`.
    fn is_stale(&self, token: &Self::Token) -> bool {
        let _ = token;
        false
    }

    /// Returns whether the source delivers the message of this token again after it is [released](Outcome::Released): to another
    /// consumer, or to this program after a restart. Defaults to `false`.
    ///
    /// A draining topology calls this for messages that no handler has begun. If it returns `true`, the message is released and the
    /// drain does not wait for it; otherwise the message is handled first. Messages are released after
    /// [`SourceProducer::stop`](crate::SourceProducer::stop) has returned, so a source that has stopped reading does not receive them
    /// again. May be called more than once for a message, and may return another answer.
    fn redelivers(&self, token: &Self::Token) -> bool {
        let _ = token;
        false
    }

    /// Returns the longest time for which the source can keep the message of this token before it delivers it
    /// [again](Outcome::Delayed), as of now; `None` if it cannot delay. Defaults to `None`.
    ///
    /// Called only for messages that are about to be delayed. May return another answer later: a lease that ends shortens it. The
    /// source delivers the message no earlier; how much later it may be depends on the broker.
    fn delay_max(&self, token: &Self::Token) -> Option<Duration> {
        let _ = token;
        None
    }

    /// Returns whether the source can [park](Outcome::Parked) the message of this token: keep it for `pause` together with its count of
    /// attempts, so that both survive this process, and then deliver it again. Defaults to `false`.
    ///
    /// Called only for messages that are about to be parked ([`Retry::park_after`](crate::Retry::park_after)). After `false` the message
    /// waits in memory. After `true` it is settled as parked soon, so the source must still be able to do it then.
    fn parks(&self, token: &Self::Token, pause: Duration) -> bool {
        let _ = (token, pause);
        false
    }

    /// Returns how many attempts earlier deliveries of this message made: the number with which it was last [parked](Outcome::Parked).
    /// Defaults to 0, which is also the number of a message that was never parked.
    ///
    /// Called only for messages that failed or were postponed, at each failure, and perhaps more than once.
    fn attempts(&self, token: &Self::Token) -> u32 {
        let _ = token;
        0
    }

    /// Returns whether the source stores [progress notes](Self::set_progress) and reads them again, so that a program which depends on
    /// them can refuse other sources. Defaults to `false`.
    fn keeps_progress(&self) -> bool {
        false
    }

    /// Returns the progress note of the input (such as the partition) of this token: the one that was stored with the last commit when
    /// the input was assigned, or has been [set](Self::set_progress) since. Defaults to `None`, which is also the note of an input without
    /// one, and of a token whose assignment is over.
    fn progress(&self, token: &Self::Token) -> Option<i64> {
        let _ = token;
        None
    }

    /// Stores a note with all further commits of the input of this token, in the same write as the offset, so that the next program
    /// to which the input is assigned knows how far this one came. Does nothing by default, and for a token whose assignment is over.
    ///
    /// Call it before the messages are settled for which it stands: a commit may have a newer note than offset, never an older one. A
    /// note alone causes no commit.
    fn set_progress(&self, token: &Self::Token, progress: i64) {
        let _ = (token, progress);
    }

    /// Returns the coordinates of the message of this token for logs (`orders[3]@88127`, a delivery tag, a message id), as a
    /// [`MessageInfo::new`]. Never its payload. Empty by default.
    ///
    /// Called only for messages that a log names, a few per second, to fill in what
    /// [`SourceProducer::describe`](crate::SourceProducer::describe) leaves empty, or if the item is gone.
    fn describe(&self, token: &Self::Token) -> MessageInfo {
        let _ = token;
        MessageInfo::default()
    }

    /// Returns how many messages that were settled as done will still be delivered again if the source ends now: a log commits only up
    /// to its first unfinished message. Called after an abort, once the producers are closed, and added to the number of unsettled
    /// messages in [`RunError`](crate::RunError). Defaults to 0.
    fn repeats(&self) -> u64 {
        0
    }

    /// Whether the pipeline calls [`begin`](Self::begin). Defaults to `false`, which costs nothing.
    const WANTS_BEGIN: bool = false;

    /// Called once per chunk with the tokens of the messages that are about to be handled, before
    /// [`generation`](Self::generation) is read for the chunk. A message that was not begun and is [stale](Self::is_stale) is never
    /// handled, so a source that gives up a part of its input knows which messages may still end as done. A processor may return
    /// messages of the chunk, which are then begun again later.
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

    fn settle_done(
        &self,
        done: &mut Vec<Self::Token>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send {
        A::settle_done(self, done)
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

    fn delay_max(&self, token: &Self::Token) -> Option<Duration> {
        A::delay_max(self, token)
    }

    fn parks(&self, token: &Self::Token, pause: Duration) -> bool {
        A::parks(self, token, pause)
    }

    fn attempts(&self, token: &Self::Token) -> u32 {
        A::attempts(self, token)
    }

    fn keeps_progress(&self) -> bool {
        A::keeps_progress(self)
    }

    fn progress(&self, token: &Self::Token) -> Option<i64> {
        A::progress(self, token)
    }

    fn set_progress(&self, token: &Self::Token, progress: i64) {
        A::set_progress(self, token, progress);
    }

    fn describe(&self, token: &Self::Token) -> MessageInfo {
        A::describe(self, token)
    }

    fn repeats(&self) -> u64 {
        A::repeats(self)
    }
}

/// Messages that succeeded, while `settle` has them in place of `settle_done`.
struct DoneGroup<'a, K> {
    settled: Vec<Settled<K>>,
    done: &'a mut Vec<K>,
}

impl<K> Drop for DoneGroup<'_, K> {
    /// Returns the messages that an error or a panic has left, so that the pipeline names them.
    fn drop(&mut self) {
        let left = self.settled.drain(..);
        self.done.extend(left.map(|settled| settled.token));
    }
}

/// The acknowledger of sources that need none: the token is `()` and settling has no effect.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoopAcknowledger;

impl Acknowledger for NoopAcknowledger {
    type Token = ();

    async fn settle(&self, settled: &mut Vec<Settled<()>>) -> Result<(), BoxError> {
        settled.clear();
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<()>) -> Result<(), BoxError> {
        done.clear();
        Ok(())
    }
}
