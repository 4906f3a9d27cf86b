//! The client of one member, and how it is freed: never on a thread that must not wait.

use std::{ops::Deref, sync::Arc, thread};

use rdkafka::{
    client::NativeClient,
    consumer::{BaseConsumer, Consumer},
};

use crate::events::Context;

/// The client. Shared by the member's thread, its queues, and messages that are still read somewhere.
pub(crate) struct Client {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<Context>>,
}

impl Client {
    pub(crate) fn new(consumer: BaseConsumer<Context>) -> Arc<Self> {
        Arc::new(Self {
            consumer: Some(consumer),
        })
    }

    pub(crate) fn native_ptr(&self) -> *mut rdkafka::types::RDKafka {
        let native: &NativeClient = self.client().native_client();
        native.ptr()
    }

    /// Frees the client here if nobody else holds it.
    pub(crate) fn free(self: Arc<Self>) {
        if let Some(mut client) = Arc::into_inner(self) {
            drop(client.consumer.take());
        }
    }
}

impl Deref for Client {
    type Target = BaseConsumer<Context>;

    fn deref(&self) -> &Self::Target {
        self.consumer
            .as_ref()
            .expect("a client until it is dropped")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        // The last message of a closed member was dropped, perhaps on a worker of the async runtime.
        free_elsewhere(consumer);
    }
}

/// Frees a client on a thread of its own, since that joins the client's threads. If there is none to be had, the client is
/// leaked with a word about it.
pub(crate) fn free_elsewhere<C: Send + 'static>(client: C) {
    let freed = thread::Builder::new()
        .name("kafka-free".to_owned())
        .spawn(move || drop(client));
    if let Err(error) = freed {
        tracing::warn!(target: "broadway_kafka", %error, "no thread to free a Kafka client");
    }
}
