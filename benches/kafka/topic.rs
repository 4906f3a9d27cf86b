//! The topic that a run reads.

use std::process;
use std::time::{Duration, SystemTime};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::BoxError;

/// The size that published figures of other frameworks use.
const MESSAGE_BYTES: usize = 100;

/// A topic that was created for this run.
pub(crate) struct Topic {
    pub(crate) broker: String,
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) messages: u64,
}

impl Topic {
    /// Creates the topic and fills its partitions evenly.
    pub(crate) async fn load(partitions: i32, messages: u64) -> Result<Self, BoxError> {
        let broker = broadway_test_brokers::address("kafka");
        let name = format!("bench-{partitions}-{}-{}", process::id(), nanos());
        let topic = Self {
            broker,
            name,
            partitions,
            messages,
        };
        let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(1));
        let created = topic
            .admin()?
            .create_topics([&new], &options())
            .await
            .map_err(|error| {
                format!(
                    "no Kafka at {}: start one with `scripts/brokers up kafka` ({error})",
                    topic.broker
                )
            })?;
        for result in created {
            result.map_err(|(name, code)| format!("cannot create {name}: {code}"))?;
        }
        tokio::task::block_in_place(|| topic.fill())?;
        Ok(topic)
    }

    fn fill(&self) -> Result<(), BoxError> {
        let mut config = self.config();
        config
            .set("linger.ms", "50")
            .set("batch.num.messages", "10000");
        let producer: BaseProducer = config.create()?;
        let payload = [b'x'; MESSAGE_BYTES];
        for number in 0..self.messages {
            let partition = i32::try_from(number % u64::from(self.partitions.unsigned_abs()))?;
            let mut record = BaseRecord::<(), _>::to(&self.name)
                .partition(partition)
                .payload(&payload);
            while let Err((error, refused)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                producer.poll(Duration::from_millis(10));
                record = refused;
            }
        }
        producer.flush(Duration::from_secs(120))?;
        Ok(())
    }

    /// Deletes the topic.
    pub(crate) async fn delete(&self) -> Result<(), BoxError> {
        self.admin()?
            .delete_topics(&[&self.name], &options())
            .await?;
        Ok(())
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
    }

    /// A new group, so that reading starts at the beginning.
    pub(crate) fn new_group(&self) -> String {
        format!("{}-{}", self.name, nanos())
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, BoxError> {
        Ok(self.config().create()?)
    }
}

fn options() -> AdminOptions {
    let timeout = Some(Duration::from_secs(15));
    AdminOptions::new()
        .request_timeout(timeout)
        .operation_timeout(timeout)
}

fn nanos() -> u128 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_nanos())
}
