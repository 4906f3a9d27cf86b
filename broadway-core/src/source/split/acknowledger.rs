//! [`SplitAcknowledger`]: settles an item once all of its parts have ended.

use std::{
    fmt, iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::joint::PartToken;
use crate::{
    ack::{Acknowledger, Outcome, Settled},
    error::BoxError,
    message::AckOptions,
    telemetry::MessageInfo,
};

/// The acknowledger of [`SourceExt::split`](crate::source::SourceExt::split).
pub struct SplitAcknowledger<A> {
    inner: Arc<A>,
    /// How often a part was released: its siblings are stale from then on.
    released: AtomicU64,
}

impl<A: Acknowledger> SplitAcknowledger<A> {
    pub(super) fn new(inner: Arc<A>) -> Self {
        let released = AtomicU64::new(0);
        Self { inner, released }
    }

    /// Ends a share, and returns the settlement of its item if it was the last one.
    pub(super) fn end(
        &self,
        part: PartToken<A::Token>,
        outcome: Outcome,
        options: AckOptions,
    ) -> Option<Settled<A::Token>> {
        let is_released = matches!(outcome, Outcome::Released);
        let ended = part.end(outcome, options);
        if is_released && ended.is_none() {
            // After the outcome, which a reader of the new number then finds.
            self.released.fetch_add(1, Ordering::Release);
        }
        ended
    }

    /// The acknowledger of the items.
    pub(super) fn inner(&self) -> &A {
        &self.inner
    }

    /// Hands items to the original acknowledger, whose errors leave some in `items`.
    pub(super) async fn hand_over(
        &self,
        items: &mut Vec<Settled<A::Token>>,
    ) -> Result<(), BoxError> {
        if items.is_empty() {
            return Ok(());
        }
        if items.iter().any(|item| !item.is_plainly_done()) {
            return self.inner.settle(items).await;
        }
        let mut done: Vec<_> = items.drain(..).map(|item| item.token).collect();
        let result = self.inner.settle_done(&mut done).await;
        items.extend(done.into_iter().map(Settled::done));
        result
    }
}

impl<A: Acknowledger> Acknowledger for SplitAcknowledger<A> {
    type Token = PartToken<A::Token>;

    const WANTS_BEGIN: bool = true;

    async fn settle(&self, settled: &mut Vec<Settled<Self::Token>>) -> Result<(), BoxError> {
        let parts = settled.drain(..).map(Settled::into_parts);
        let ended = parts.filter_map(|(part, outcome, options)| self.end(part, outcome, options));
        let mut items = ended.collect();
        let result = self.hand_over(&mut items).await;
        // For the log of the error.
        settled.extend(items.into_iter().map(|item| item.map(PartToken::new)));
        result
    }

    async fn settle_done(&self, done: &mut Vec<Self::Token>) -> Result<(), BoxError> {
        let parts = done.drain(..);
        let ended = parts.filter_map(|part| self.end(part, Outcome::Done, None));
        let mut items = ended.collect();
        let result = self.hand_over(&mut items).await;
        done.extend(items.into_iter().map(|item| PartToken::new(item.token)));
        result
    }

    fn generation(&self) -> u64 {
        let released = self.released.load(Ordering::Acquire);
        self.inner.generation().wrapping_add(released)
    }

    /// Also if a part of the same item was released: the source delivers the whole item again.
    fn is_stale(&self, part: &Self::Token) -> bool {
        let is_stale = part.with(|item| item.is_released() || self.inner.is_stale(&item.token));
        is_stale.unwrap_or(false)
    }

    /// For a part that was not begun: not after another part of the item was, so that no part is handled twice. For one that was begun,
    /// and waits to be handled again: always, so that a drain does not wait for it.
    fn redelivers(&self, part: &Self::Token) -> bool {
        let redelivers = part.with(|item| {
            let is_free = part.is_begun() || !item.is_begun;
            item.is_released() || (is_free && self.inner.redelivers(&item.token))
        });
        redelivers.unwrap_or(false)
    }

    fn keeps_progress(&self) -> bool {
        self.inner.keeps_progress()
    }

    fn progress(&self, part: &Self::Token) -> Option<i64> {
        part.with(|item| self.inner.progress(&item.token))?
    }

    fn set_progress(&self, part: &Self::Token, progress: i64) {
        part.with(|item| self.inner.set_progress(&item.token, progress));
    }

    fn describe(&self, part: &Self::Token) -> MessageInfo {
        let info = part.with(|item| self.inner.describe(&item.token));
        info.unwrap_or_default()
    }

    fn repeats(&self) -> u64 {
        self.inner.repeats()
    }

    fn begin<'a>(&self, parts: impl Iterator<Item = &'a Self::Token>)
    where
        Self::Token: 'a,
    {
        for part in parts {
            part.set_begun();
            part.with(|item| {
                if A::WANTS_BEGIN && !item.is_begun {
                    self.inner.begin(iter::once(&item.token));
                }
                item.is_begun = true;
            });
        }
    }
}

impl<A> fmt::Debug for SplitAcknowledger<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitAcknowledger").finish_non_exhaustive()
    }
}
