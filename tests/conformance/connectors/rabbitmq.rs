//! RabbitMQ, as a classic queue and as a quorum queue.

#[path = "../../../connectors/rabbitmq/tests/connector/common/raw.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the connector's own tests use more"
)]
mod raw;

use std::{net::SocketAddr, time::Duration};

use broadway::{
    BoxError,
    rabbitmq::{Declare, OnUnreadable, RabbitMq, RabbitMqPublisher},
    testing::{
        Reader,
        conformance::{Capabilities, ConnectorUnderTest, Redelivery},
    },
};

use super::broker::{IN_FLIGHT_MAX, address, unique};

const PREFETCH: usize = 100;
/// Short, so that a silent client is noticed soon; not so short that a slow machine looks like one.
const HEARTBEAT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub(crate) struct TestRabbitMq {
    broker: SocketAddr,
    is_quorum: bool,
    heartbeat: Duration,
}

impl TestRabbitMq {
    pub(crate) fn new(is_quorum: bool) -> Option<Self> {
        let broker = address("rabbitmq")?;
        Some(Self {
            broker,
            is_quorum,
            heartbeat: HEARTBEAT,
        })
    }

    /// With another heartbeat, for tests with more processes than cores.
    #[allow(dead_code, reason = "the reliability run uses it")]
    pub(crate) fn with_heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    fn uri(&self, via: Option<SocketAddr>) -> String {
        format!("amqp://guest:guest@{}", via.unwrap_or(self.broker))
    }
}

impl ConnectorUnderTest for TestRabbitMq {
    type Source = RabbitMq;
    type Publisher = RabbitMqPublisher;

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Some(self.broker))
            .payload_max(4 << 20)
            .headers_max(50)
            .redelivers(Redelivery::ToAnyone)
            .delays(true)
            .counts_deliveries(self.is_quorum)
            .fetch_max(PREFETCH)
            // The publisher's `bytes_max`, and the limit of this broker.
            .payload_refused_from((16 << 20) + 1)
            .outlives_its_process(true)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .repeats_max(PREFETCH as u64)
            // The broker checks every half of the interval.
            .silence_max(self.heartbeat * 3)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        let name = unique(promise);
        // Opening declares the queue.
        let reader = Reader::open(&self.source(&name, None)).await?;
        reader.close().await?;
        Ok(name)
    }

    fn source(&self, place: &str, via: Option<SocketAddr>) -> RabbitMq {
        let queue = match self.is_quorum {
            true => Declare::quorum(),
            false => Declare::classic(),
        };
        RabbitMq::queue(place)
            .uri(self.uri(via))
            .declare(queue)
            .prefetch(PREFETCH)
            .heartbeat(self.heartbeat)
            .on_unreadable(OnUnreadable::Reject)
            .requeue_delay(Duration::from_millis(300))
    }

    async fn publisher(
        &self,
        place: &str,
        via: Option<SocketAddr>,
    ) -> Result<RabbitMqPublisher, BoxError> {
        let publisher = RabbitMqPublisher::queue(place).uri(self.uri(via));
        publisher.in_flight_max(IN_FLIGHT_MAX).open().await
    }

    async fn send_unreadable(&self, place: &str) -> Result<bool, BoxError> {
        let mut raw = raw::Raw::connect(&self.broker.to_string()).await;
        let header = raw::one_header(b"caf\xe9");
        raw.publish("", place.as_bytes(), (raw::HEADERS, &header), b"x")
            .await;
        Ok(true)
    }
}
