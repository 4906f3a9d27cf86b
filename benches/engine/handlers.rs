//! The handlers of the pipelines.

use std::hint::black_box;

use broadway::{Batch, BoxError, Handler, Message, Next, NoBatcher, OneBatcher, handler::BatchKey};

use crate::support::workload::handle_id;

/// Ignores its numbers.
pub(crate) struct Alone;

impl Handler for Alone {
    type In = u64;
    type Out = u64;
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, NoBatcher>, BoxError> {
        handle_id(*message.data());
        Ok(Next::Ack)
    }
}

/// Puts each number into the batch of its key.
pub(crate) struct ToBatches<K>(pub(crate) K);

impl<K: Fn(u64) -> BatchKey + Send + Sync + 'static> Handler for ToBatches<K> {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        let id = handle_id(*message.data());
        Ok(Next::batch(OneBatcher, id).key((self.0)(id)))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        black_box(batch.data());
        Ok(())
    }
}

/// Decodes a document.
pub(crate) struct Decode(pub(crate) fn(&[u8]) -> u64);

impl Handler for Decode {
    type In = &'static [u8];
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<&'static [u8]>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        black_box((self.0)(message.data()));
        Ok(Next::Ack)
    }
}
