//! A source around that of the queue, which writes deliveries and settlements to the ledger.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use broadway_core::{
    Acknowledger, BoxError, Header, NoAckOptions, Outcome, Record, Settled,
    source::{Delivery, OpenContext, Produced, Source, SourceProducer},
    testing::{FeedToken, MemoryQueueAcknowledger, MemoryQueueProducer, MemoryQueueSource},
};

use crate::ledger::{Ledger, Settlement, What};

/// The header with the number of the delivery.
pub(crate) const NUMBER: &str = "number";
/// The header with how often it was delivered.
pub(crate) const DELIVERY: &str = "delivery";

/// A message, as it was delivered once.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) id: u64,
    pub(crate) key: u64,
    /// How often its id was delivered, this time included.
    pub(crate) delivery: u32,
    pub(crate) number: usize,
    payload: String,
}

impl Order {
    pub(crate) fn new(id: u64, key: u64, delivery: u32) -> Self {
        Self {
            id,
            key,
            delivery,
            number: usize::MAX,
            payload: id.to_string(),
        }
    }
}

impl Record for Order {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        self.payload.as_bytes()
    }

    fn for_each_header(&self, visit: &mut dyn FnMut(Header)) {
        visit(Header::new(NUMBER, self.number.to_string()));
        visit(Header::new(DELIVERY, self.delivery.to_string()));
    }
}

pub(crate) struct Tap {
    pub(crate) inner: MemoryQueueSource<Order>,
    pub(crate) ledger: Arc<Ledger>,
    /// Whether a settlement takes a while to get to the queue, in which a kill may lose it.
    pub(crate) is_slow: bool,
}

impl Source for Tap {
    type Producer = TapProducer;

    async fn open(&self, cx: &OpenContext) -> Result<TapProducer, BoxError> {
        let inner = self.inner.open(cx).await?;
        let acknowledger = TapAcknowledger {
            inner: inner.acknowledger(),
            ledger: Arc::clone(&self.ledger),
            is_slow: self.is_slow,
        };
        Ok(TapProducer {
            inner,
            acknowledger: Arc::new(acknowledger),
        })
    }
}

pub(crate) struct TapProducer {
    inner: MemoryQueueProducer<Order>,
    acknowledger: Arc<TapAcknowledger>,
}

impl SourceProducer for TapProducer {
    type Item = Order;
    type Acknowledger = TapAcknowledger;

    fn acknowledger(&self) -> Arc<TapAcknowledger> {
        Arc::clone(&self.acknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Order, FeedToken>>,
    ) -> Result<Produced, BoxError> {
        let before = out.len();
        let produced = self.inner.produce(demand, out).await;
        for Delivery { item, token, .. } in &mut out[before..] {
            item.number = token.number();
            let delivered = What::Delivered { id: item.id };
            self.acknowledger.ledger.write(item.number, delivered);
        }
        produced
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }

    async fn close(self) -> Result<(), BoxError> {
        self.inner.close().await
    }
}

pub(crate) struct TapAcknowledger {
    inner: Arc<MemoryQueueAcknowledger<Order>>,
    ledger: Arc<Ledger>,
    is_slow: bool,
}

impl Acknowledger for TapAcknowledger {
    type Token = FeedToken;

    async fn settle(&self, settled: &mut Vec<Settled<FeedToken>>) -> Result<(), BoxError> {
        if self.is_slow {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        for Settled { token, outcome, .. } in settled.iter() {
            let settlement = match outcome {
                Outcome::Done => Settlement::Done,
                Outcome::Failed(_) => Settlement::Failed,
                Outcome::Released => Settlement::Released,
                other => panic!("the queue cannot do that: {other:?}"),
            };
            self.ledger.write(token.number(), What::Settled(settlement));
        }
        // From here to the queue nothing waits, unless a fault was planned.
        self.inner.settle(settled).await
    }

    fn redelivers(&self, token: &FeedToken) -> bool {
        self.inner.redelivers(token)
    }
}
