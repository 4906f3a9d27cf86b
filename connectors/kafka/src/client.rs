//! The client of a member. Freeing one waits for its threads, so it happens on a thread that may block.

use std::{ops::Deref, sync::Arc, thread};

use rdkafka::{
    client::NativeClient,
    consumer::{BaseConsumer, Consumer},
};

use crate::client_events::ConsumerCallbacks;

/// The consumer of one member. Shared by the member's thread, its queues, and messages that are still in use.
pub(crate) struct MemberClient {
    /// `None` only while it is dropped.
    consumer: Option<BaseConsumer<ConsumerCallbacks>>,
}

impl MemberClient {
    pub(crate) fn new(consumer: BaseConsumer<ConsumerCallbacks>) -> Arc<Self> {
        Arc::new(Self {
            consumer: Some(consumer),
        })
    }

    pub(crate) fn native_ptr(&self) -> *mut rdkafka::types::RDKafka {
        let native: &NativeClient = self.client().native_client();
        native.ptr()
    }

    /// Frees the client on this thread if this is the last reference.
    pub(crate) fn free(self: Arc<Self>) {
        if let Some(mut client) = Arc::into_inner(self) {
            drop(client.consumer.take());
        }
    }
}

impl Deref for MemberClient {
    type Target = BaseConsumer<ConsumerCallbacks>;

    fn deref(&self) -> &Self::Target {
        self.consumer
            .as_ref()
            .expect("a client until it is dropped")
    }
}

impl Drop for MemberClient {
    fn drop(&mut self) {
        let Some(consumer) = self.consumer.take() else {
            return;
        };
        // The last message of a closed member was dropped, possibly on a worker of the async runtime, which must not block.
        free_elsewhere(consumer);
    }
}

/// Frees a client on a new thread, because freeing joins the client's threads. If no thread can be started, the client is leaked and a
/// warning is logged.
pub(crate) fn free_elsewhere<C: Send + 'static>(client: C) {
    let freed = thread::Builder::new()
        .name("kafka-free".to_owned())
        .spawn(move || drop(client));
    if let Err(error) = freed {
        tracing::warn!(target: "broadway_kafka", %error, "cannot start a thread to free a Kafka client, so it is leaked");
    }
}
