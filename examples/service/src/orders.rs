//! The handler of orders, and of batches of orders.

use std::sync::Arc;

use broadway::{Batch, BoxError, Handler, Message, Next, OneBatcher, Record, kafka::KafkaRecord};
use serde::{Deserialize, Serialize};

use crate::store::Store;

/// The JSON of a message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) customer: String,
    pub(crate) item: String,
    pub(crate) cents: u64,
}

/// All processors and batch processors share one `Orders` and its fields.
pub(crate) struct Orders {
    pub(crate) store: Arc<Store>,
}

impl Handler for Orders {
    type In = KafkaRecord; // the item of the source
    type Out = Order; // the item of a batch
    type Batcher = OneBatcher; // one kind of batch; `batchers!` names several

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<Order, OneBatcher>, BoxError> {
        // An error fails this message alone, and sends it to the dead-letter topic.
        let order: Order = serde_json::from_slice(message.data().payload())?;
        let customer = order.customer.clone();
        Ok(Next::batch(OneBatcher, order).key(customer))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Order>) -> Result<(), BoxError> {
        // All orders of this batch are of one customer. `Ok` acknowledges them, an error fails them.
        self.store.write(batch.key(), batch.data())?;
        Ok(())
    }
}
