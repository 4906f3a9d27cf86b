//! The acknowledger of an erased producer: exchanges numbers for typed tokens, and passes everything on.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{BoxFuture, tokens::BoxToken, tokens::Tokens};
use crate::{
    ack::{Acknowledger, Settled},
    error::BoxError,
    source::{SourceProducer, TokenOf},
    telemetry::MessageInfo,
};

/// How many emptied lists of a kind an acknowledger keeps for their memory: about as many as settle at the same time.
const SPARE_MAX: usize = 16;

/// The acknowledger of a [`BoxSource`](super::BoxSource).
pub struct BoxAcknowledger<T>(Arc<dyn ErasedAcknowledger<T>>);

impl<T: Send + 'static> BoxAcknowledger<T> {
    pub(super) fn new<P: SourceProducer<Item = T>>(inner: Arc<TypedAcknowledger<P>>) -> Self {
        Self(inner)
    }

    pub(super) fn describe_item(&self, item: &T) -> MessageInfo {
        self.0.describe_item(item)
    }
}

impl<T> fmt::Debug for BoxAcknowledger<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoxAcknowledger").finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Acknowledger for BoxAcknowledger<T> {
    type Token = BoxToken;

    // Whether the erased one wants it is known at run time only.
    const WANTS_BEGIN: bool = true;

    fn begin<'a>(&self, tokens: impl Iterator<Item = &'a BoxToken>) {
        self.0.begin(&mut { tokens });
    }

    async fn settle(&self, settled: &mut Vec<Settled<BoxToken>>) -> Result<(), BoxError> {
        self.0.settle(settled).await
    }

    async fn settle_done(&self, done: &mut Vec<BoxToken>) -> Result<(), BoxError> {
        self.0.settle_done(done).await
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn is_stale(&self, token: &BoxToken) -> bool {
        self.0.is_stale(token)
    }

    fn redelivers(&self, token: &BoxToken) -> bool {
        self.0.redelivers(token)
    }

    fn delay_max(&self, token: &BoxToken) -> Option<Duration> {
        self.0.delay_max(token)
    }

    fn parks(&self, token: &BoxToken, pause: Duration) -> bool {
        self.0.parks(token, pause)
    }

    fn attempts(&self, token: &BoxToken) -> u32 {
        self.0.attempts(token)
    }

    fn keeps_progress(&self) -> bool {
        self.0.keeps_progress()
    }

    fn progress(&self, token: &BoxToken) -> Option<i64> {
        self.0.progress(token)
    }

    fn set_progress(&self, token: &BoxToken, progress: i64) {
        self.0.set_progress(token, progress);
    }

    fn describe(&self, token: &BoxToken) -> MessageInfo {
        self.0.describe(token)
    }

    fn repeats(&self) -> u64 {
        self.0.repeats()
    }
}

/// The object-safe twin of [`Acknowledger`], which also describes items, as their producer would.
trait ErasedAcknowledger<T>: Send + Sync {
    fn begin(&self, tokens: &mut dyn Iterator<Item = &BoxToken>);

    fn settle<'a>(
        &'a self,
        settled: &'a mut Vec<Settled<BoxToken>>,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    fn settle_done<'a>(
        &'a self,
        done: &'a mut Vec<BoxToken>,
    ) -> BoxFuture<'a, Result<(), BoxError>>;

    fn generation(&self) -> u64;

    fn is_stale(&self, token: &BoxToken) -> bool;

    fn redelivers(&self, token: &BoxToken) -> bool;

    fn delay_max(&self, token: &BoxToken) -> Option<Duration>;

    fn parks(&self, token: &BoxToken, pause: Duration) -> bool;

    fn attempts(&self, token: &BoxToken) -> u32;

    fn keeps_progress(&self) -> bool;

    fn progress(&self, token: &BoxToken) -> Option<i64>;

    fn set_progress(&self, token: &BoxToken, progress: i64);

    fn describe(&self, token: &BoxToken) -> MessageInfo;

    fn describe_item(&self, item: &T) -> MessageInfo;

    fn repeats(&self) -> u64;
}

/// The acknowledger of one opened producer, and the tokens of what that delivered.
///
/// The lock is held while the inner acknowledger looks at single tokens, but never across an await.
pub(super) struct TypedAcknowledger<P: SourceProducer> {
    inner: Arc<P::Acknowledger>,
    tokens: Mutex<Tokens<TokenOf<P>>>,
    spare: Spare<Settled<TokenOf<P>>>,
    spare_done: Spare<TokenOf<P>>,
}

impl<P: SourceProducer> TypedAcknowledger<P> {
    pub(super) fn new(inner: Arc<P::Acknowledger>) -> Self {
        Self {
            inner,
            tokens: Mutex::default(),
            spare: Spare::default(),
            spare_done: Spare::default(),
        }
    }

    pub(super) fn tokens(&self) -> MutexGuard<'_, Tokens<TokenOf<P>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exchanges the tokens of a group. Messages that are left return to `group` when the result is dropped.
    fn exchange<'a>(
        &'a self,
        group: &'a mut Vec<Settled<BoxToken>>,
    ) -> Exchanged<'a, Settled<TokenOf<P>>, Settled<BoxToken>> {
        let mut typed = self.spare.take();
        let mut tokens = self.tokens();
        let boxed = group.drain(..);
        typed.extend(boxed.map(|settled| settled.map(|token| tokens.remove(token))));
        Exchanged {
            spare: &self.spare,
            typed,
            left: |settled| settled.map(BoxToken::left),
            group,
        }
    }

    /// As `exchange`, for messages that all succeeded.
    fn exchange_done<'a>(
        &'a self,
        group: &'a mut Vec<BoxToken>,
    ) -> Exchanged<'a, TokenOf<P>, BoxToken> {
        let mut typed = self.spare_done.take();
        let mut tokens = self.tokens();
        typed.extend(group.drain(..).map(|token| tokens.remove(token)));
        Exchanged {
            spare: &self.spare_done,
            typed,
            left: BoxToken::left,
            group,
        }
    }
}

impl<P: SourceProducer> ErasedAcknowledger<P::Item> for TypedAcknowledger<P> {
    fn begin(&self, begun: &mut dyn Iterator<Item = &BoxToken>) {
        if P::Acknowledger::WANTS_BEGIN {
            let tokens = self.tokens();
            self.inner
                .begin(begun.filter_map(|token| tokens.get(token)));
        }
    }

    fn settle<'a>(
        &'a self,
        settled: &'a mut Vec<Settled<BoxToken>>,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let mut exchanged = self.exchange(settled);
            self.inner.settle(&mut exchanged.typed).await
        })
    }

    fn settle_done<'a>(
        &'a self,
        done: &'a mut Vec<BoxToken>,
    ) -> BoxFuture<'a, Result<(), BoxError>> {
        Box::pin(async move {
            let mut exchanged = self.exchange_done(done);
            self.inner.settle_done(&mut exchanged.typed).await
        })
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    fn is_stale(&self, token: &BoxToken) -> bool {
        let tokens = self.tokens();
        tokens
            .get(token)
            .is_some_and(|token| self.inner.is_stale(token))
    }

    fn redelivers(&self, token: &BoxToken) -> bool {
        let tokens = self.tokens();
        tokens
            .get(token)
            .is_some_and(|token| self.inner.redelivers(token))
    }

    fn delay_max(&self, token: &BoxToken) -> Option<Duration> {
        let tokens = self.tokens();
        self.inner.delay_max(tokens.get(token)?)
    }

    fn parks(&self, token: &BoxToken, pause: Duration) -> bool {
        let tokens = self.tokens();
        tokens
            .get(token)
            .is_some_and(|token| self.inner.parks(token, pause))
    }

    fn attempts(&self, token: &BoxToken) -> u32 {
        let tokens = self.tokens();
        tokens
            .get(token)
            .map_or(0, |token| self.inner.attempts(token))
    }

    fn keeps_progress(&self) -> bool {
        self.inner.keeps_progress()
    }

    fn progress(&self, token: &BoxToken) -> Option<i64> {
        let tokens = self.tokens();
        self.inner.progress(tokens.get(token)?)
    }

    fn set_progress(&self, token: &BoxToken, progress: i64) {
        let tokens = self.tokens();
        if let Some(token) = tokens.get(token) {
            self.inner.set_progress(token, progress);
        }
    }

    fn describe(&self, token: &BoxToken) -> MessageInfo {
        let tokens = self.tokens();
        let token = tokens.get(token);
        token.map_or_else(MessageInfo::default, |token| self.inner.describe(token))
    }

    fn describe_item(&self, item: &P::Item) -> MessageInfo {
        P::describe_delivered(&self.inner, item)
    }

    fn repeats(&self) -> u64 {
        self.inner.repeats()
    }
}

/// A group with its typed tokens, while the inner acknowledger settles it.
struct Exchanged<'a, K, L> {
    spare: &'a Spare<K>,
    typed: Vec<K>,
    left: fn(K) -> L,
    group: &'a mut Vec<L>,
}

impl<K, L> Drop for Exchanged<'_, K, L> {
    /// Returns the messages that an error or a panic has left unsettled: the pipeline names them in its event, and drops them.
    fn drop(&mut self) {
        self.group.extend(self.typed.drain(..).map(self.left));
        self.spare.keep(mem::take(&mut self.typed));
    }
}

/// Emptied lists, kept for their memory.
struct Spare<K>(Mutex<Vec<Vec<K>>>);

impl<K> Default for Spare<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K> Spare<K> {
    fn lists(&self) -> MutexGuard<'_, Vec<Vec<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<K> {
        self.lists().pop().unwrap_or_default()
    }

    fn keep(&self, emptied: Vec<K>) {
        let mut lists = self.lists();
        if lists.len() < SPARE_MAX {
            lists.push(emptied);
        }
    }
}
