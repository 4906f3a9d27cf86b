//! Google Cloud Pub/Sub: a topic with an ordered subscription for each promise.

use std::{net::SocketAddr, time::Duration};

use broadway::{
    BoxError, Publisher,
    pubsub::{NewSubscription, OnFailure, PubSub, PubSubPublisher},
    testing::conformance::{Capabilities, ConnectorUnderTest, Redelivery},
};

use super::broker::{IN_FLIGHT_MAX, address, unique};

const OUTSTANDING_MAX: usize = 200;

#[derive(Clone)]
pub(crate) struct TestPubSub {
    server: SocketAddr,
}

impl TestPubSub {
    pub(crate) fn new() -> Option<Self> {
        let server = address("pubsub")?;
        Some(Self { server })
    }

    fn endpoint(&self, via: Option<SocketAddr>) -> String {
        format!("http://{}", via.unwrap_or(self.server))
    }
}

fn topic(place: &str) -> String {
    format!("projects/broadway/topics/{place}")
}

impl ConnectorUnderTest for TestPubSub {
    type Source = PubSub;
    type Publisher = PubSubPublisher;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Some(self.server))
            .orders_keys(true)
            .payload_max(1_000_000)
            .headers_max(200)
            .lease(Some(Duration::from_secs(10)))
            .payload_refused_from(10_000_001)
            .outlives_its_process(true)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .redelivers(Redelivery::ToAnyone)
            // It counts with a dead-letter policy only, which this subscription does not have.
            .delays(true)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        let place = unique(promise);
        // The topic first, and then the subscription, which gets only messages that are published after it.
        self.publisher(&place, None).await?.close().await?;
        let reader = broadway::testing::Reader::open(&self.source(&place, None)).await?;
        reader.close().await?;
        Ok(place)
    }

    fn source(&self, place: &str, via: Option<SocketAddr>) -> PubSub {
        PubSub::subscription(format!("projects/broadway/subscriptions/{place}"))
            .endpoint(self.endpoint(via))
            .create_if_missing(NewSubscription::on(topic(place)).ordered())
            .lease_extension_max(Duration::from_secs(10))
            // So that a killed process leaves messages for others until its leases end.
            .outstanding_messages_max(OUTSTANDING_MAX)
            .on_failure(OnFailure::NackAfter(Duration::from_secs(1)))
    }

    async fn publisher(
        &self,
        place: &str,
        via: Option<SocketAddr>,
    ) -> Result<PubSubPublisher, BoxError> {
        PubSubPublisher::topic(topic(place))
            .endpoint(self.endpoint(via))
            .create_if_missing()
            .in_flight_max(IN_FLIGHT_MAX)
            .open()
            .await
    }
}
