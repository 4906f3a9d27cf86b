//! Publishing to Kafka, compared with the client's own loop on one thread, and with a window of futures.

use std::collections::VecDeque;
use std::time::Duration;

use broadway::kafka::KafkaPublisher;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, FutureProducer, FutureRecord, Producer};
use tokio::runtime::Runtime;

use super::brokers::clock::{Clock, Cost};
use super::load::{self, PAYLOAD};
use super::{BoxError, Contest, Scenario};

/// Unconfirmed messages in each program.
const IN_FLIGHT: usize = 10_000;
const LINGER_MS: u64 = 1;
/// Callers of the publisher, and the messages of a call.
const CALLERS: usize = 16;
const CALL: usize = 500;

/// Compared with the cheapest loop.
pub(crate) const CLIENT: Scenario = Scenario {
    name: "publish_kafka",
    about: "16 callers with calls of 500; against one thread that sends and polls, both with 10,000 in flight",
    reference: "base_producer",
    messages: 1_000_000,
    quick: 100_000,
    begin: |runtime, messages| begin(runtime, messages, send_and_poll),
};

/// Compared with the usual loop of the client's users.
pub(crate) const FUTURES: Scenario = Scenario {
    name: "publish_kafka_futures",
    about: "the same against a window of 10,000 futures of FutureProducer",
    reference: "future_producer",
    messages: 1_000_000,
    quick: 100_000,
    begin: |runtime, messages| begin(runtime, messages, futures),
};

type Program = fn(&Topic, &Runtime) -> Result<Cost, BoxError>;

struct Topic {
    broker: String,
    name: String,
    messages: u64,
    reference: Program,
}

fn begin(
    runtime: &Runtime,
    messages: u64,
    reference: Program,
) -> Result<Box<dyn Contest>, BoxError> {
    let broker = broadway_test_brokers::address("kafka");
    let topic = Topic {
        broker,
        name: load::unique(),
        messages,
        reference,
    };
    let new = NewTopic::new(&topic.name, 1, TopicReplication::Fixed(1));
    let admin = topic.admin()?;
    let created = runtime.block_on(admin.create_topics([&new], &options()));
    let created = created.map_err(|error| {
        format!(
            "no Kafka at {}: start one with `scripts/brokers up kafka` ({error})",
            topic.broker
        )
    })?;
    for result in created {
        result.map_err(|(name, code)| format!("cannot create {name}: {code}"))?;
    }
    Ok(Box::new(topic))
}

impl Contest for Topic {
    fn ours(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        runtime.block_on(async {
            let publisher = KafkaPublisher::topic(&self.name)
                .brokers(&self.broker)
                .in_flight_max(IN_FLIGHT)
                .linger(Duration::from_millis(LINGER_MS))
                .open()
                .await?;
            load::publish(publisher, self.messages, CALLERS, CALL).await
        })
    }

    fn reference(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        (self.reference)(self, runtime)
    }

    fn end(self: Box<Self>, runtime: &Runtime) -> Result<(), BoxError> {
        let admin = self.admin()?;
        runtime.block_on(admin.delete_topics(&[&self.name], &options()))?;
        Ok(())
    }
}

/// One thread that returns no results: sends until the client's queue is full, then polls it.
fn send_and_poll(topic: &Topic, _runtime: &Runtime) -> Result<Cost, BoxError> {
    let producer: BaseProducer = topic.producer().create()?;
    topic.warm(&producer)?;
    let clock = Clock::new(topic.messages);
    clock.begin();
    for _ in 0..topic.messages {
        let mut record = BaseRecord::<(), _>::to(&topic.name).payload(PAYLOAD);
        while let Err((error, refused)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(1));
            record = refused;
        }
    }
    producer.flush(Duration::from_secs(120))?;
    clock.handled(topic.messages);
    Ok(clock.cost().expect("all are counted"))
}

/// Awaits the oldest of a full window.
fn futures(topic: &Topic, runtime: &Runtime) -> Result<Cost, BoxError> {
    // The window is the bound: a confirmation arrives shortly before its slot in the client's queue is free.
    let mut config = topic.producer();
    config.set("queue.buffering.max.messages", "0");
    let producer: FutureProducer = config.create()?;
    topic.warm(&producer)?;
    runtime.block_on(async {
        let clock = Clock::new(topic.messages);
        let mut window = VecDeque::with_capacity(IN_FLIGHT);
        clock.begin();
        for _ in 0..topic.messages {
            if window.len() == IN_FLIGHT
                && let Some(oldest) = window.pop_front()
            {
                confirmed(oldest).await?;
            }
            let record = FutureRecord::<(), _>::to(&topic.name).payload(PAYLOAD);
            let sent = producer.send_result(record);
            window.push_back(sent.map_err(|(error, _)| error)?);
        }
        for rest in window {
            confirmed(rest).await?;
        }
        clock.handled(topic.messages);
        Ok(clock.cost().expect("all are counted"))
    })
}

async fn confirmed(sent: rdkafka::producer::DeliveryFuture) -> Result<(), BoxError> {
    sent.await?.map_err(|(error, _)| error)?;
    Ok(())
}

impl Topic {
    /// The same settings as the publisher's.
    fn producer(&self) -> ClientConfig {
        let mut config = self.config();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", LINGER_MS.to_string())
            .set("queue.buffering.max.messages", IN_FLIGHT.to_string());
        config
    }

    /// Fetches the topic's metadata, as the publisher does when it opens.
    fn warm<C, P>(&self, producer: &P) -> Result<(), BoxError>
    where
        C: rdkafka::producer::ProducerContext,
        P: Producer<C>,
    {
        let timeout = Duration::from_secs(10);
        producer
            .client()
            .fetch_metadata(Some(&self.name), timeout)?;
        Ok(())
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
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
