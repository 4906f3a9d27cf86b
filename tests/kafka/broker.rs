//! The broker: its address, topics, and keyed records whose order can be checked.

use std::{process, time::Duration, time::SystemTime};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};

/// Returns the address of the broker. If it does not run, prints that the test is skipped and returns `None`.
pub(crate) fn broker() -> Option<String> {
    broadway_test_brokers::broker("kafka")
}

/// Returns a unique name.
pub(crate) fn unique(what: &str) -> String {
    let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("e2e-{what}-{}-{nanos}", process::id())
}

pub(crate) async fn create_topic(broker: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = config(broker).create().unwrap();
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(15)));
    for created in admin.create_topics([&topic], &options).await.unwrap() {
        created.unwrap();
    }
}

/// Publishes `per_key` records for each of `keys` keys, interleaved. The key is its number, the payload the number within
/// the key. The client chooses the partition by the key.
pub(crate) fn publish(broker: &str, topic: &str, keys: u32, per_key: u32) {
    let producer: BaseProducer = config(broker)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .create()
        .unwrap();
    for number in 0..per_key {
        for key in 0..keys {
            let (key, payload) = (key.to_be_bytes(), number.to_be_bytes());
            let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
            while let Err((error, refused)) = producer.send(record) {
                assert_eq!(
                    error,
                    KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)
                );
                producer.poll(Duration::from_millis(10));
                record = refused;
            }
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn config(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    config
}
