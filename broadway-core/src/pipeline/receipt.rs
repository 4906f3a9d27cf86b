//! What callers of `push` get back: [`Receipt`], [`Pushed`], [`PushError`].

use std::{error::Error, fmt};

use tokio::sync::oneshot;

use crate::ack::Outcome;

/// Reports how a pushed message ended.
#[derive(Debug)]
pub struct Receipt {
    outcome: oneshot::Receiver<Outcome>,
}

impl Receipt {
    /// Waits until the message has ended. Returns `None` if the topology was aborted first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the receipt; the message goes on.
    pub async fn outcome(self) -> Option<Outcome> {
        self.outcome.await.ok()
    }
}

/// The sending half of a [`Receipt`].
pub(crate) struct ReceiptSender {
    outcome: oneshot::Sender<Outcome>,
}

impl ReceiptSender {
    pub(crate) fn new() -> (Self, Receipt) {
        let (sender, receiver) = oneshot::channel();
        (Self { outcome: sender }, Receipt { outcome: receiver })
    }

    pub(crate) fn send(self, outcome: Outcome) {
        // An error means that the receipt was dropped, which is fine.
        let _ = self.outcome.send(outcome);
    }
}

/// The messages that [`Topology::try_push`](crate::Topology::try_push) accepted, and those that did not fit.
#[derive(Debug)]
#[must_use = "messages in `rest` did not fit, and are lost if this is dropped"]
#[non_exhaustive]
pub struct Pushed<T> {
    /// One receipt for each accepted message, in their order.
    pub receipts: Vec<Receipt>,
    /// The messages that did not fit, in their order.
    pub rest: Vec<T>,
}

/// The topology accepts no messages: it drains, has ended, or, for a [`Pusher`](crate::Pusher), was not started.
pub struct PushError<T> {
    messages: Vec<T>,
}

impl<T> PushError<T> {
    pub(super) fn new(messages: Vec<T>) -> Self {
        Self { messages }
    }

    /// Returns the messages. None was accepted.
    #[must_use]
    pub fn into_messages(self) -> Vec<T> {
        self.messages
    }
}

/// Prints the same as `Display`: messages need not be `Debug`.
impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.messages.len();
        write!(
            f,
            "cannot push {n} message(s): the topology drains, has ended, or was not started"
        )
    }
}

impl<T> Error for PushError<T> {}
