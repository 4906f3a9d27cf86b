//! The intake of messages that come from the handle and not from the source: [`Topology::push`](crate::Topology::push).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    config::PartitionBy,
    context::{Closable, PipelineContext, SourceOutlet},
    intake::hash_key,
    pusher::{PushFuture, PushTarget},
    receipt::{PushError, Pushed, Receipt, ReceiptSender},
    tracked::{AckRef, AckTarget, MessageSlot, PendingAck, SlotOf},
};
use crate::{
    engine::clock,
    message::Message,
    source::{AcknowledgerOf, ItemOf, Source},
    telemetry::Event,
};

/// Where pushed messages enter the link: an outlet beside the outlets of the producers.
pub(super) struct PushIntake<S: Source> {
    /// `None` once it is closed. Messages are sent while this lock is held, so none is sent after [`close`](Closable::close)
    /// returned. The outlet keeps the link and all that is buffered in it alive, and the handle may outlive the topology: so
    /// closing drops it.
    outlet: Mutex<Option<Arc<SourceOutlet<S>>>>,
    partition_by: Option<PartitionBy<ItemOf<S>>>,
    /// How many pushed messages may wait for a processor when `try_push` adds more.
    waiting_max: usize,
    context: Arc<PipelineContext<AcknowledgerOf<S>>>,
}

impl<S: Source> PushIntake<S> {
    pub(super) fn new(
        outlet: SourceOutlet<S>,
        partition_by: Option<PartitionBy<ItemOf<S>>>,
        waiting_max: usize,
        context: Arc<PipelineContext<AcknowledgerOf<S>>>,
    ) -> Self {
        Self {
            waiting_max,
            outlet: Mutex::new(Some(Arc::new(outlet))),
            partition_by,
            context,
        }
    }

    async fn push_all(&self, items: Vec<ItemOf<S>>) -> Result<Vec<Receipt>, PushError<ItemOf<S>>> {
        let outlet = self.lock_outlet().clone();
        let demand = match &outlet {
            Some(outlet) => outlet.demand().await,
            None => None,
        };
        // Looked at again: the intake may have closed while this waited.
        let open = self.lock_outlet();
        let (Some(_), Some(outlet)) = (demand, &*open) else {
            return Err(PushError::new(items));
        };
        Ok(self.send(outlet, items))
    }

    fn send(&self, outlet: &SourceOutlet<S>, items: Vec<ItemOf<S>>) -> Vec<Receipt> {
        let received_ns = self.context.elapsed_ns(clock::now());
        let count = items.len();
        if count == 0 {
            return Vec::new();
        }
        self.context.counters.add_received(count);
        let (mut slots, mut receipts) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for item in items {
            let (slot, receipt) = self.track(item, received_ns);
            slots.push(slot);
            receipts.push(receipt);
        }
        // Reported before they are sent: an observer must not see them settled first.
        self.context.emitter.emit(&Event::Pushed { count });
        outlet.send(&mut slots);
        receipts
    }

    fn track(&self, item: ItemOf<S>, received_ns: u64) -> (SlotOf<S>, Receipt) {
        let (sender, receipt) = ReceiptSender::new();
        let message = Message::new(item);
        let (key_hash, fault) = self
            .partition_by
            .as_deref()
            .map_or((None, None), |key| hash_key(key, &message));
        let pending = PendingAck {
            target: AckTarget::Pushed(sender),
            received_ns,
            ack_ref: AckRef::pushed(),
        };
        let slot = MessageSlot::new(message, pending, key_hash, fault);
        (slot, receipt)
    }

    fn lock_outlet(&self) -> MutexGuard<'_, Option<Arc<SourceOutlet<S>>>> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Closable for PushIntake<S> {
    fn close(&self) {
        let outlet = self.lock_outlet().take();
        // Closed after the lock was released: that wakes processors, and calls to `push` that wait.
        if let Some(outlet) = outlet {
            outlet.close();
        }
    }
}

impl<S: Source> PushTarget<ItemOf<S>> for PushIntake<S> {
    fn push(&self, items: Vec<ItemOf<S>>) -> PushFuture<'_, ItemOf<S>> {
        Box::pin(self.push_all(items))
    }

    fn try_push(
        &self,
        mut items: Vec<ItemOf<S>>,
    ) -> Result<Pushed<ItemOf<S>>, PushError<ItemOf<S>>> {
        // Held to the end: of two concurrent calls, the second sees how many the first has sent.
        let open = self.lock_outlet();
        let Some(outlet) = &*open else {
            return Err(PushError::new(items));
        };
        let room = self.waiting_max.saturating_sub(outlet.unrequested());
        let rest = items.split_off(room.min(items.len()));
        let receipts = self.send(outlet, items);
        Ok(Pushed { receipts, rest })
    }
}
