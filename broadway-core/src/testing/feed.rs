//! [`Feed`]: the test's side of a manual source.

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

/// Feeds a source made by [`manual_source`](super::manual_source()), and records its deliveries. Clones are the same
/// feed.
///
/// Dropping a feed ends nothing: call [`end`](Self::end), or drain the topology.
pub struct Feed<T> {
    shared: Arc<FeedState<T>>,
}

impl<T: Send + 'static> Feed<T> {
    pub(super) fn new(shared: Arc<FeedState<T>>) -> Self {
        Self { shared }
    }

    /// Queues one message, which is delivered alone when a producer has demand. The receipt reports how it ended.
    ///
    /// # Panics
    ///
    /// Panics after [`end`](Self::end).
    #[track_caller]
    pub fn push(&self, item: T) -> Receipt {
        let mut receipts = self.push_all([item]);
        receipts.pop().expect("one message has one receipt")
    }

    /// Queues messages that are delivered together, as far as the demand allows.
    ///
    /// # Panics
    ///
    /// Panics after [`end`](Self::end).
    #[track_caller]
    pub fn push_all(&self, items: impl IntoIterator<Item = T>) -> Vec<Receipt> {
        // Lock order: the queue before the log, as in `ManualProducer::deliver`.
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

    /// Makes the next producer fail with `error` once all earlier messages are delivered.
    pub fn fail(&self, error: impl Into<BoxError>) {
        let failure = FeedEntry::Failure(error.into());
        self.shared.queue().entries.push_back(failure);
        self.shared.notify();
    }

    /// Makes every producer report the end of the source once all messages are delivered.
    pub fn end(&self) {
        self.shared.queue().ended = true;
        self.shared.notify();
    }

    /// Makes all messages stale that were delivered and not settled, as a revoked partition does.
    pub fn make_stale(&self) {
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns the faults of `open`, `produce`, `stop`, `close` and `settle`.
    ///
    /// A group counts as settled even if its settling fails or panics, because the engine has handed it over. If the
    /// settling hangs, the group counts when it continues.
    #[must_use]
    pub fn faults(&self) -> &FaultPlan {
        &self.shared.faults
    }

    /// Returns how many messages were pushed: the number of the next one.
    pub(super) fn pushed(&self) -> usize {
        self.shared.queue().pushed
    }

    /// Returns how many messages producers have delivered.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.shared.log().delivered_count()
    }

    /// Waits until producers have delivered at least `n` messages.
    pub async fn wait_delivered(&self, n: usize) {
        let enough = |shared: &FeedState<T>| (shared.log().delivered_count() >= n).then_some(());
        self.shared.wait(enough).await;
    }

    /// Returns the groups in which messages were settled since the last call, in order.
    #[must_use]
    pub fn take_groups(&self) -> Vec<Vec<Settled<FeedToken>>> {
        std::mem::take(&mut self.shared.log().groups)
    }

    /// Returns the calls to producers, in order: opened, stopped, closed, dropped.
    #[must_use]
    pub fn producer_calls(&self) -> Vec<ProducerCall> {
        self.shared.log().calls.clone()
    }

    /// Waits until `call` was made `n` times.
    pub async fn wait_producer_call(&self, call: ProducerCall, n: usize) {
        let taken = |shared: &FeedState<T>| {
            let log = shared.log();
            let taken = log.calls.iter().filter(|made| **made == call).count();
            (taken >= n).then_some(())
        };
        self.shared.wait(taken).await;
    }

    /// Returns the numbers of the messages that were delivered and are not settled.
    #[must_use]
    pub fn unsettled(&self) -> Vec<usize> {
        self.shared.log().unsettled()
    }

    /// Checks that the engine kept its contract: every delivered message is settled once, with the acknowledger of the
    /// producer that delivered it, before that producer was closed.
    ///
    /// # Panics
    ///
    /// Panics with the violations, and with the numbers of the messages that are not settled.
    #[track_caller]
    pub fn assert_settled_once(&self) {
        self.assert_contract();
        let unsettled = self.unsettled();
        assert!(
            unsettled.is_empty(),
            "message(s) {unsettled:?} were delivered and never settled"
        );
    }

    /// As [`assert_settled_once`](Self::assert_settled_once), but messages may be unsettled, for example after an
    /// abort.
    ///
    /// # Panics
    ///
    /// Panics with the violations.
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
