//! The test's side of a hand-fed source: [`Feed`].

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::{
    delivery_log::{FeedToken, ProducerCall},
    fault_plan::FaultPlan,
    feed_state::{FeedEntry, FeedState},
};
use crate::{
    ack::Settled,
    error::BoxError,
    pipeline::{Receipt, ReceiptSender},
};

/// Feeds a source made by [`manual_source`](super::manual_source()), and keeps its books. Clones are the same feed.
///
/// Dropping it ends nothing: call [`end`](Self::end), or drain the topology.
pub struct Feed<T> {
    shared: Arc<FeedState<T>>,
}

impl<T: Send + 'static> Feed<T> {
    pub(super) fn new(shared: Arc<FeedState<T>>) -> Self {
        Self { shared }
    }

    /// Queues one message, which is delivered by itself when a producer is asked for some. The receipt tells how it
    /// ended.
    ///
    /// # Panics
    ///
    /// After [`end`](Self::end).
    #[track_caller]
    pub fn push(&self, item: T) -> Receipt {
        let mut receipts = self.push_all([item]);
        receipts.pop().expect("one message has one receipt")
    }

    /// Queues messages that are delivered together, as far as the demand goes.
    ///
    /// # Panics
    ///
    /// After [`end`](Self::end).
    #[track_caller]
    pub fn push_all(&self, items: impl IntoIterator<Item = T>) -> Vec<Receipt> {
        let mut queue = self.shared.queue();
        assert!(!queue.ended, "cannot push: the feed was ended");
        let mut log = self.shared.log();
        let (mut together, mut receipts) = (VecDeque::new(), Vec::new());
        for item in items {
            let (ticket, receipt) = ReceiptSender::new();
            log.issued(queue.pushed, ticket);
            together.push_back((queue.pushed, item));
            receipts.push(receipt);
            queue.pushed += 1;
        }
        if !together.is_empty() {
            queue.entries.push_back(FeedEntry::Together(together));
        }
        drop((queue, log));
        self.shared.notify();
        receipts
    }

    /// When all before it is delivered, the producer that is asked next fails with `error`.
    pub fn fail(&self, error: impl Into<BoxError>) {
        let failure = FeedEntry::Failure(error.into());
        self.shared.queue().entries.push_back(failure);
        self.shared.notify();
    }

    /// When all is delivered, every producer says that it is exhausted.
    pub fn end(&self) {
        self.shared.queue().ended = true;
        self.shared.notify();
    }

    /// Makes everything stale that was delivered up to now and is not settled, as a revoked partition does.
    pub fn make_stale(&self) {
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// What goes wrong in `open`, `produce`, `stop`, `close` and `settle`.
    ///
    /// A group whose settling fails or panics counts as settled all the same: the engine has handed it over. One that hangs
    /// counts when it goes on.
    #[must_use]
    pub fn faults(&self) -> &FaultPlan {
        &self.shared.faults
    }

    /// How many messages were pushed: the number of the next one.
    pub(super) fn pushed(&self) -> usize {
        self.shared.queue().pushed
    }

    /// How many messages producers have delivered.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.shared.log().delivered_count()
    }

    /// Waits until producers have delivered at least `n` messages.
    pub async fn wait_delivered(&self, n: usize) {
        let enough = |shared: &FeedState<T>| (shared.log().delivered_count() >= n).then_some(());
        self.shared.wait(enough).await;
    }

    /// The groups in which messages were settled since this was called last, in order.
    #[must_use]
    pub fn take_groups(&self) -> Vec<Vec<Settled<FeedToken>>> {
        std::mem::take(&mut self.shared.log().groups)
    }

    /// What was called on producers, in order: opened, stopped, closed, dropped.
    #[must_use]
    pub fn producer_calls(&self) -> Vec<ProducerCall> {
        self.shared.log().calls.clone()
    }

    /// Waits until `step` has been taken `n` times.
    pub async fn wait_producer_call(&self, call: ProducerCall, n: usize) {
        let taken = |shared: &FeedState<T>| {
            let log = shared.log();
            let taken = log.calls.iter().filter(|made| **made == call).count();
            (taken >= n).then_some(())
        };
        self.shared.wait(taken).await;
    }

    /// The numbers of the messages that were delivered and are not settled.
    #[must_use]
    pub fn unsettled(&self) -> Vec<usize> {
        self.shared.log().unsettled()
    }

    /// Checks that the engine kept its contract: every message that was delivered is settled once, with the acknowledger of
    /// the producer that delivered it, before that one was closed.
    ///
    /// # Panics
    ///
    /// Lists what went wrong, and the numbers of the messages that are not settled.
    #[track_caller]
    pub fn assert_settled_once(&self) {
        self.assert_contract();
        let unsettled = self.unsettled();
        assert!(
            unsettled.is_empty(),
            "message(s) {unsettled:?} were delivered and never settled"
        );
    }

    /// As [`assert_settled_once`](Self::assert_settled_once), where messages may be left: after an abort, say.
    ///
    /// # Panics
    ///
    /// Lists what went wrong.
    #[track_caller]
    pub fn assert_contract(&self) {
        let log = self.shared.log();
        let violations = log.violations();
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }
}

impl<T> Clone for Feed<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for Feed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}
