//! [`DeliveryLog`]: the deliveries and settlements of a manual source, and whether they kept the contract.

use std::collections::BTreeMap;

use crate::{ack::Settled, pipeline::ReceiptSender};

/// The token of a message from a manual source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedToken {
    pub(super) number: usize,
    pub(super) opening: usize,
    pub(super) generation: u64,
}

impl FeedToken {
    /// Returns which message of the feed it is, from 0 in the order of pushes.
    #[must_use]
    pub const fn number(self) -> usize {
        self.number
    }
}

/// A call to a producer of a manual source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProducerCall {
    /// The producer with this index was opened, or opened again.
    Opened(usize),
    /// The producer was stopped.
    Stopped(usize),
    /// The producer was closed.
    Closed(usize),
    /// The producer was dropped without being closed, as it is after a failure.
    Dropped(usize),
}

/// The log of one feed. A plain value; its owner locks it.
#[derive(Default)]
pub(super) struct DeliveryLog {
    tickets: BTreeMap<usize, ReceiptSender>,
    /// The opening that delivered each message, and how often the message was settled.
    delivered: BTreeMap<usize, DeliveredMessage>,
    closed_openings: Vec<usize>,
    pub(super) groups: Vec<Vec<Settled<FeedToken>>>,
    pub(super) calls: Vec<ProducerCall>,
    violations: Vec<String>,
}

struct DeliveredMessage {
    opening: usize,
    settled: usize,
}

impl DeliveryLog {
    /// Records that a message was pushed, and has a receipt.
    pub(super) fn issued(&mut self, number: usize, ticket: ReceiptSender) {
        self.tickets.insert(number, ticket);
    }

    /// Records that a message was delivered to the engine.
    pub(super) fn delivered(&mut self, fed: FeedToken) {
        let FeedToken {
            number, opening, ..
        } = fed;
        let account = DeliveredMessage {
            opening,
            settled: 0,
        };
        self.delivered.insert(number, account);
    }

    /// Records that a group was settled by the acknowledger of `opening`.
    pub(super) fn settled(&mut self, opening: usize, group: Vec<Settled<FeedToken>>) {
        if group.is_empty() {
            self.violations
                .push("an empty group was settled".to_owned());
        }
        // Acknowledgements after a close cannot reach the source any more: the contract forbids them.
        if self.closed_openings.contains(&opening) {
            let numbers: Vec<_> = group.iter().map(|settled| settled.token.number).collect();
            self.violations.push(format!(
                "message(s) {numbers:?} were settled after their producer was closed"
            ));
        }
        for Settled { token, outcome, .. } in &group {
            self.settle_one(opening, *token);
            if let Some(ticket) = self.tickets.remove(&token.number) {
                ticket.send(outcome.clone());
            }
        }
        self.groups.push(group);
    }

    fn settle_one(&mut self, opening: usize, token: FeedToken) {
        let number = token.number;
        let Some(account) = self.delivered.get_mut(&number) else {
            self.violations
                .push(format!("message {number} was settled and never delivered"));
            return;
        };
        account.settled += 1;
        if account.settled > 1 {
            self.violations.push(format!(
                "message {number} was settled {} times",
                account.settled
            ));
        }
        if account.opening != opening {
            self.violations.push(format!(
                "message {number} was settled with an acknowledger that did not deliver it"
            ));
        }
    }

    pub(super) fn closed(&mut self, opening: usize, producer: usize) {
        self.closed_openings.push(opening);
        self.calls.push(ProducerCall::Closed(producer));
    }

    pub(super) fn delivered_count(&self) -> usize {
        self.delivered.len()
    }

    /// Returns the messages that were delivered to the engine and are not settled.
    pub(super) fn unsettled(&self) -> Vec<usize> {
        let open = self
            .delivered
            .iter()
            .filter(|(_, account)| account.settled == 0);
        open.map(|(number, _)| *number).collect()
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }
}
