//! RabbitMQ, as a classic queue and as a quorum queue.

use std::{net::SocketAddr, time::Duration};

use broadway::{
    BoxError,
    rabbitmq::{Declare, RabbitMq, RabbitMqPublisher},
    testing::{
        Reader,
        conformance::{Abilities, Redelivery, Subject},
    },
};

use super::broker::{IN_FLIGHT_MAX, address, unique};

const PREFETCH: usize = 100;

#[derive(Clone)]
pub(crate) struct TestRabbitMq {
    broker: SocketAddr,
    is_quorum: bool,
}

impl TestRabbitMq {
    pub(crate) fn new(is_quorum: bool) -> Option<Self> {
        let broker = address("rabbitmq", 19672)?;
        Some(Self { broker, is_quorum })
    }

    fn uri(&self, via: Option<SocketAddr>) -> String {
        format!("amqp://guest:guest@{}", via.unwrap_or(self.broker))
    }
}

impl Subject for TestRabbitMq {
    type Source = RabbitMq;
    type Publisher = RabbitMqPublisher;

    fn abilities(&self) -> Abilities {
        Abilities::new(Some(self.broker))
            .payload_max(4 << 20)
            .headers_max(50)
            .redelivers(Redelivery::ToAnyone)
            .fetch_max(PREFETCH)
            // The publisher's `bytes_max`, and the limit of this broker.
            .payload_refused_from((16 << 20) + 1)
            .outlives_its_process(true)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .repeats_max(PREFETCH as u64)
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
}
