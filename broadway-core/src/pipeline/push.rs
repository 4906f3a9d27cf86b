//! Messages that come from the handle and not from the source: [`Topology::push`](crate::Topology::push).

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::{
    envelope::{Creditor, Debt, Envelope, Origin, Parcel},
    processor::{AckOf, TokenOfSource},
    processors::PartitionBy,
    producer::lane_of,
    settler::Ledger,
    start::SourceOutlet,
};
use crate::{
    ack::Outcome,
    engine::clock,
    message::Message,
    source::{ItemOf, Source},
    telemetry::Event,
};

/// Tells how a pushed message ended.
#[derive(Debug)]
pub struct Receipt {
    outcome: oneshot::Receiver<Outcome>,
}

impl Receipt {
    /// Waits for the end of the message. `None`: the topology ended by force before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the receipt; the message goes on.
    pub async fn outcome(self) -> Option<Outcome> {
        self.outcome.await.ok()
    }
}

/// The other half of a [`Receipt`].
pub(crate) struct Ticket {
    outcome: oneshot::Sender<Outcome>,
}

impl Ticket {
    pub(crate) fn new() -> (Self, Receipt) {
        let (sender, receiver) = oneshot::channel();
        (Self { outcome: sender }, Receipt { outcome: receiver })
    }

    pub(crate) fn settle(self, outcome: Outcome) {
        // Nobody needs to wait for a receipt.
        let _ = self.outcome.send(outcome);
    }
}

/// What [`Topology::try_push`](crate::Topology::try_push) took, and what did not fit.
#[derive(Debug)]
#[must_use = "what did not fit is in `rest`, and lost when it is dropped"]
pub struct Pushed<T> {
    /// One for each message that was taken, in their order.
    pub receipts: Vec<Receipt>,
    /// The messages that did not fit, in their order.
    pub rest: Vec<T>,
}

/// The topology takes no messages: it drains, has ended, or, for a [`Pusher`](crate::Pusher), was not started.
pub struct PushError<T> {
    messages: Vec<T>,
}

impl<T> PushError<T> {
    pub(super) fn new(messages: Vec<T>) -> Self {
        Self { messages }
    }

    /// The messages, none of which was accepted.
    #[must_use]
    pub fn into_messages(self) -> Vec<T> {
        self.messages
    }
}

/// What `Display` says.
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

/// Where pushed messages enter: an outlet of its own, beside those of the producers.
pub(super) struct PushEntrance<S: Source> {
    /// Taken once, under the lock, so that nothing is sent after it. It keeps what is buffered, so it must not outlive the
    /// topology, as a handle may.
    outlet: Mutex<Option<Arc<SourceOutlet<S>>>>,
    partition_by: Option<PartitionBy<ItemOf<S>>>,
    /// How many pushed messages may wait for a processor when others are pushed without waiting.
    waiting_max: usize,
    ledger: Arc<Ledger<AckOf<S>>>,
}

impl<S: Source> PushEntrance<S> {
    pub(super) fn new(
        outlet: SourceOutlet<S>,
        partition_by: Option<PartitionBy<ItemOf<S>>>,
        waiting_max: usize,
        ledger: Arc<Ledger<AckOf<S>>>,
    ) -> Self {
        Self {
            waiting_max,
            outlet: Mutex::new(Some(Arc::new(outlet))),
            partition_by,
            ledger,
        }
    }

    /// Waits until messages are asked for, then sends all of them.
    pub(super) async fn push(
        &self,
        items: Vec<ItemOf<S>>,
    ) -> Result<Vec<Receipt>, PushError<ItemOf<S>>> {
        let outlet = self.outlet().clone();
        let demand = match &outlet {
            Some(outlet) => outlet.demand().await,
            None => None,
        };
        let open = self.outlet();
        let (Some(_), Some(outlet)) = (demand, &*open) else {
            return Err(PushError::new(items));
        };
        Ok(self.send(outlet, items))
    }

    /// Sends as many as fit, now.
    pub(super) fn try_push(
        &self,
        mut items: Vec<ItemOf<S>>,
    ) -> Result<Pushed<ItemOf<S>>, PushError<ItemOf<S>>> {
        let open = self.outlet();
        let Some(outlet) = &*open else {
            return Err(PushError::new(items));
        };
        let room = self.waiting_max.saturating_sub(outlet.waiting());
        let rest = items.split_off(room.min(items.len()));
        let receipts = self.send(outlet, items);
        Ok(Pushed { receipts, rest })
    }

    fn send(&self, outlet: &SourceOutlet<S>, items: Vec<ItemOf<S>>) -> Vec<Receipt> {
        let received_ns = self.ledger.elapsed_ns(clock::now());
        let count = items.len();
        if count == 0 {
            return Vec::new();
        }
        self.ledger.counters.received(count);
        let (mut envelopes, receipts): (Vec<_>, Vec<_>) = items
            .into_iter()
            .map(|item| self.envelope(item, received_ns))
            .unzip();
        // Before anyone can settle them.
        self.ledger.emitter.emit(&Event::Pushed { count });
        outlet.send(&mut envelopes);
        receipts
    }

    fn envelope(
        &self,
        item: ItemOf<S>,
        received_ns: u64,
    ) -> (Parcel<ItemOf<S>, TokenOfSource<S>>, Receipt) {
        let (ticket, receipt) = Ticket::new();
        let message = Message::new(item);
        let (lane, fault) = self
            .partition_by
            .as_deref()
            .map_or((None, None), |key| lane_of(key, &message));
        let to = Creditor::Pushed(ticket);
        let debt = Debt {
            to,
            received_ns,
            origin: Origin::none(),
        };
        (
            Parcel(Some(Envelope {
                message,
                debt,
                lane,
                fault,
            })),
            receipt,
        )
    }

    /// Takes no more. Harmless when repeated.
    pub(super) fn close(&self) {
        let outlet = self.outlet().take();
        if let Some(outlet) = outlet {
            outlet.close();
        }
    }

    fn outlet(&self) -> MutexGuard<'_, Option<Arc<SourceOutlet<S>>>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
