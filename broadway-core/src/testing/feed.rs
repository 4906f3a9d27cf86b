//! The test's side of a hand-fed source: [`Feed`].

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, atomic::Ordering},
};

use super::{
    ledger::{Fed, Step},
    manual_source::{Entry, Shared},
    plan::FaultPlan,
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
    shared: Arc<Shared<T>>,
}

impl<T: Send + 'static> Feed<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
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
        let mut ledger = self.shared.ledger();
        let (mut together, mut receipts) = (VecDeque::new(), Vec::new());
        for item in items {
            let (ticket, receipt) = ReceiptSender::new();
            ledger.issued(queue.pushed, ticket);
            together.push_back((queue.pushed, item));
            receipts.push(receipt);
            queue.pushed += 1;
        }
        if !together.is_empty() {
            queue.entries.push_back(Entry::Together(together));
        }
        drop((queue, ledger));
        self.shared.moved();
        receipts
    }

    /// When all before it is delivered, the producer that is asked next fails with `error`.
    pub fn fail(&self, error: impl Into<BoxError>) {
        let failure = Entry::Failure(error.into());
        self.shared.queue().entries.push_back(failure);
        self.shared.moved();
    }

    /// When all is delivered, every producer says that it is exhausted.
    pub fn end(&self) {
        self.shared.queue().ended = true;
        self.shared.moved();
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
        self.shared.ledger().delivered_count()
    }

    /// Waits until producers have delivered at least `n` messages.
    pub async fn wait_delivered(&self, n: usize) {
        let enough = |shared: &Shared<T>| (shared.ledger().delivered_count() >= n).then_some(());
        self.shared.wait(enough).await;
    }

    /// The groups in which messages were settled since this was called last, in order.
    #[must_use]
    pub fn take_groups(&self) -> Vec<Vec<Settled<Fed>>> {
        std::mem::take(&mut self.shared.ledger().groups)
    }

    /// What was called on producers, in order: opened, stopped, closed, dropped.
    #[must_use]
    pub fn steps(&self) -> Vec<Step> {
        self.shared.ledger().steps.clone()
    }

    /// Waits until `step` has been taken `n` times.
    pub async fn wait_step(&self, step: Step, n: usize) {
        let taken = |shared: &Shared<T>| {
            let ledger = shared.ledger();
            let taken = ledger.steps.iter().filter(|taken| **taken == step).count();
            (taken >= n).then_some(())
        };
        self.shared.wait(taken).await;
    }

    /// The numbers of the messages that were delivered and are not settled.
    #[must_use]
    pub fn unsettled(&self) -> Vec<usize> {
        self.shared.ledger().unsettled()
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
        let ledger = self.shared.ledger();
        let violations = ledger.violations();
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
