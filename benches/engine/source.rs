//! Sources that deliver numbers or documents and count settled messages.

use std::num::NonZeroUsize;
use std::sync::Arc;

use broadway::{
    BoxError,
    source::{Acknowledger, Delivery, OpenContext, Produced, Settled, Source, SourceProducer},
};

use crate::support::workload::{Ledger, document, document_id};

/// Delivers the numbers below a limit.
pub(crate) struct Ids {
    messages: u64,
    ledger: Ledger,
}

impl Ids {
    pub(crate) fn new(messages: u64, ledger: &Ledger) -> Self {
        let ledger = ledger.clone();
        Self { messages, ledger }
    }
}

impl Source for Ids {
    type Producer = Numbers<u64>;

    async fn open(&self, _cx: &OpenContext) -> Result<Numbers<u64>, BoxError> {
        Ok(Numbers::new(self.messages, &self.ledger, |id| id, |id| id))
    }
}

/// Delivers JSON documents.
pub(crate) struct Documents {
    messages: u64,
    ledger: Ledger,
}

impl Documents {
    pub(crate) fn new(messages: u64, ledger: &Ledger) -> Self {
        let ledger = ledger.clone();
        Self { messages, ledger }
    }
}

impl Source for Documents {
    type Producer = Numbers<&'static [u8]>;

    async fn open(&self, _cx: &OpenContext) -> Result<Numbers<&'static [u8]>, BoxError> {
        Ok(Numbers::new(
            self.messages,
            &self.ledger,
            document,
            document_id,
        ))
    }
}

/// Delivers an item made by `item` from each number. The token is the item's part of the checksum.
pub(crate) struct Numbers<T> {
    next: u64,
    end: u64,
    item: fn(u64) -> T,
    token: fn(u64) -> u64,
    count: Arc<Count>,
}

impl<T> Numbers<T> {
    fn new(end: u64, ledger: &Ledger, item: fn(u64) -> T, token: fn(u64) -> u64) -> Self {
        let count = Arc::new(Count(ledger.clone()));
        Self {
            next: 0,
            end,
            item,
            token,
            count,
        }
    }
}

impl<T: Send + 'static> SourceProducer for Numbers<T> {
    type Item = T;
    type Acknowledger = Count;

    fn acknowledger(&self) -> Arc<Count> {
        Arc::clone(&self.count)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<T, u64>>,
    ) -> Result<Produced, BoxError> {
        let end = self.end.min(self.next + demand.get() as u64);
        let (item, token) = (self.item, self.token);
        out.extend((self.next..end).map(|id| Delivery::new(item(id), token(id))));
        self.next = end;
        Ok(if end == self.end {
            Produced::End
        } else {
            Produced::More
        })
    }
}

/// Counts settled messages, a group at a time.
pub(crate) struct Count(Ledger);

impl Acknowledger for Count {
    type Token = u64;

    async fn settle(&self, settled: &mut Vec<Settled<u64>>) -> Result<(), BoxError> {
        let done = settled.iter().filter(|settled| settled.outcome.is_done());
        let (messages, checksum) =
            done.fold((0, 0), |(n, sum), settled| (n + 1, sum + settled.token));
        settled.clear();
        self.0.settle(messages, checksum);
        Ok(())
    }

    async fn settle_done(&self, done: &mut Vec<u64>) -> Result<(), BoxError> {
        self.0.settle(done.len(), done.drain(..).sum());
        Ok(())
    }
}
