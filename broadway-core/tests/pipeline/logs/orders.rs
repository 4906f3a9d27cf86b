//! A source of records with coordinates, keys and attempts.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use broadway_core::{
    Acknowledger, BoxError, Delivery, NoAckOptions, OpenContext, Produced, Record, Settled, Source,
    SourceProducer, telemetry::MessageInfo,
};

pub(super) const PAYLOAD: &str = "hush hush";

pub(super) struct Order {
    pub(super) offset: u64,
    key: String,
    described: Described,
}

/// How often a message was described.
#[derive(Clone, Default)]
pub(super) struct Described(Arc<AtomicU64>);

impl Described {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Record for Order {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        PAYLOAD.as_bytes()
    }

    fn key(&self) -> Option<&[u8]> {
        Some(self.key.as_bytes())
    }

    fn id(&self) -> String {
        format!("orders[3]@{}", self.offset)
    }
}

#[derive(Clone)]
pub(super) struct Orders {
    count: u64,
    next: u64,
    described: Described,
    acknowledges: bool,
}

impl Orders {
    pub(super) fn new(count: u64) -> Self {
        Self {
            count,
            next: 0,
            described: Described::default(),
            acknowledges: true,
        }
    }

    pub(super) fn failing_to_acknowledge(mut self) -> Self {
        self.acknowledges = false;
        self
    }

    pub(super) fn described(&self) -> Described {
        self.described.clone()
    }

    pub(super) fn order(&self, offset: u64) -> Order {
        Order {
            offset,
            key: format!("customer-{offset}"),
            described: self.described(),
        }
    }
}

impl Source for Orders {
    type Producer = Self;

    async fn open(&self, _: &OpenContext) -> Result<Self, BoxError> {
        Ok(self.clone())
    }
}

impl SourceProducer for Orders {
    type Item = Order;
    type Acknowledger = OrdersAcknowledger;

    fn acknowledger(&self) -> Arc<OrdersAcknowledger> {
        Arc::new(OrdersAcknowledger(self.acknowledges))
    }

    fn describe(order: &Order) -> MessageInfo {
        order.described.0.fetch_add(1, Ordering::Relaxed);
        MessageInfo::of_record(order).attempt(2)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Order, u64>>,
    ) -> Result<Produced, BoxError> {
        let end = self.count.min(self.next + demand.get() as u64);
        out.extend((self.next..end).map(|offset| Delivery::new(self.order(offset), offset)));
        self.next = end;
        Ok(match self.next == self.count {
            true => Produced::End,
            false => Produced::More,
        })
    }
}

pub(super) struct OrdersAcknowledger(bool);

impl Acknowledger for OrdersAcknowledger {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        if !self.0 {
            return Err("not coordinator".into());
        }
        settled.clear();
        Ok(())
    }

    fn describe(&self, offset: &u64) -> MessageInfo {
        MessageInfo::new(format!("orders[3]@{offset}"))
    }
}
