//! Kafka: a topic of four partitions and a group of its own for each promise.

use std::{net::SocketAddr, time::Duration};

use broadway::{
    BoxError,
    kafka::{GroupProtocol, Kafka, KafkaPublisher, StartOffset},
    testing::conformance::{Capabilities, ConnectorUnderTest, Redelivery},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};

use super::broker::{IN_FLIGHT_MAX, address, unique};

const PARTITIONS: i32 = 4;
const ANSWER: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct TestKafka {
    broker: SocketAddr,
}

impl TestKafka {
    pub(crate) fn new() -> Option<Self> {
        let broker = address("kafka")?;
        Some(Self { broker })
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.to_string());
        config
    }
}

impl ConnectorUnderTest for TestKafka {
    type Source = Kafka;
    type Publisher = KafkaPublisher;

    fn capabilities(&self) -> Capabilities {
        // A listener whose clients are sent to the proxy's address.
        let [listener, proxy] =
            ["kafka_proxied", "kafka_proxy"].map(broadway_test_brokers::loopback);
        Capabilities::new(Some(listener))
            .proxy_at(proxy)
            .orders_keys(true)
            .payload_max(900_000)
            .headers_max(100)
            // More than the client's `message.max.bytes`.
            .payload_refused_from(1_100_000)
            .outlives_its_process(true)
            .in_flight_max(IN_FLIGHT_MAX as u64)
            .redelivers(Redelivery::AfterReopening)
    }

    async fn create(&self, promise: &str) -> Result<String, BoxError> {
        let name = unique(promise);
        let admin: AdminClient<DefaultClientContext> = self.config().create()?;
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1));
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        for created in admin.create_topics([&topic], &options).await? {
            created.map_err(|(topic, code)| format!("{topic}: {code}"))?;
        }
        Ok(name)
    }

    fn source(&self, place: &str, via: Option<SocketAddr>) -> Kafka {
        Kafka::topics([place])
            .brokers(via.unwrap_or(self.broker).to_string())
            .group(place)
            .start_offset(StartOffset::Earliest)
            // A member that was killed is noticed after the session timeout, and joining takes no seconds.
            .protocol(GroupProtocol::CooperativeSticky)
            .set("session.timeout.ms", "3000")
            .set("heartbeat.interval.ms", "300")
            .set("reconnect.backoff.max.ms", "500")
    }

    async fn publisher(
        &self,
        place: &str,
        via: Option<SocketAddr>,
    ) -> Result<KafkaPublisher, BoxError> {
        let brokers = via.unwrap_or(self.broker).to_string();
        KafkaPublisher::topic(place)
            .brokers(brokers)
            .in_flight_max(IN_FLIGHT_MAX)
            .set("reconnect.backoff.max.ms", "500")
            .open()
            .await
    }

    async fn unacknowledged(&self, place: &str) -> Result<Option<u64>, BoxError> {
        let mut config = self.config();
        let consumer: BaseConsumer = config.set("group.id", place).create()?;
        let place = place.to_owned();
        let count = tokio::task::spawn_blocking(move || uncommitted(&consumer, &place));
        Ok(Some(count.await??))
    }
}

/// Returns how many messages the group has not committed.
fn uncommitted(consumer: &BaseConsumer, topic: &str) -> Result<u64, BoxError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, PARTITIONS - 1);
    let committed = consumer.committed_offsets(list, ANSWER)?;
    let mut total = 0;
    for partition in 0..PARTITIONS {
        let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER)?;
        let found = committed.find_partition(topic, partition);
        let position = match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => low,
        };
        total += u64::try_from(high - position)?;
    }
    Ok(total)
}
