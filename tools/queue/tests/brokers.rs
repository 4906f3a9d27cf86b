//! `move`, run as a process, to each broker that is up: `scripts/brokers up`.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

use std::{
    collections::BTreeSet,
    process::{self, Command},
    time::{SystemTime, UNIX_EPOCH},
};

use broadway::{
    Outgoing, Publisher, Record,
    queue::QueuePublisher,
    source::{Source, SourceProducer},
    testing::Reader,
};
use broadway_test_brokers::broker;
use serde_json::Value;

const MESSAGES: usize = 500;

/// A name that no other run uses.
fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("queue-{name}-{}-{}", process::id(), now.as_millis())
}

/// Moves messages with these arguments, and reads them from `source`.
async fn move_and_read<S: Source>(arguments: &[&str], source: S)
where
    S::Producer: SourceProducer<Item: Record>,
{
    let folder = tempfile::tempdir().unwrap();
    let orders = QueuePublisher::topic(folder.path(), "orders")
        .open()
        .await
        .unwrap();
    let message = |n| Outgoing::new(format!("{n}")).key(format!("k{}", n % 9));
    for result in orders.publish((0..MESSAGES).map(message).collect()).await {
        result.unwrap();
    }
    orders.close().await.unwrap();
    drop(orders);

    let path = folder.path().to_str().unwrap();
    for wanted in [MESSAGES, 0] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_broadway-queue"));
        let program = program.args(["move", path, "orders", "--json"]);
        let program = program.args(arguments);
        program.env("AWS_ACCESS_KEY_ID", "test");
        program.env("AWS_SECRET_ACCESS_KEY", "test");
        let output = program.stdin(process::Stdio::null()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
        let counts = (counts["moved"].as_u64(), counts["left"].as_u64());
        assert_eq!(counts, (Some(wanted as u64), Some(0)));
    }
    let mut reader = Reader::open(&source).await.unwrap();
    let came = reader.exactly(MESSAGES).await;
    let mut places = BTreeSet::new();
    for received in &came {
        let item = &received.item;
        assert_eq!(item.header("broadway-queue-topic"), Some(&b"orders"[..]));
        let header = |name: &str| item.header(name).unwrap().to_vec();
        places.insert((
            header("broadway-queue-partition"),
            header("broadway-queue-offset"),
        ));
    }
    assert_eq!(places.len(), MESSAGES);
    reader.done(came).await;
    reader.close().await.unwrap();
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_moved_to_kafka() {
    use broadway::kafka::{Kafka, KafkaPublisher, NewTopic, StartOffset};
    let Some(brokers) = broker("kafka") else {
        return;
    };
    let topic = unique("moved");
    let publisher = KafkaPublisher::topic(&topic).brokers(&brokers);
    let publisher = publisher.create_if_missing(NewTopic::partitions(2));
    publisher.open().await.unwrap().close().await.unwrap();
    let source = Kafka::topics([&topic]).brokers(&brokers).group(&topic);
    let source = source.start_offset(StartOffset::Earliest);
    move_and_read(&["--to", &format!("kafka://{brokers}/{topic}")], source).await;
}

#[cfg(feature = "rabbitmq")]
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_moved_to_rabbitmq() {
    use broadway::rabbitmq::{Declare, RabbitMq};
    let Some(address) = broker("rabbitmq") else {
        return;
    };
    let queue = unique("moved");
    let uri = format!("amqp://guest:guest@{address}/%2f");
    let source = RabbitMq::queue(&queue).uri(&uri).declare(Declare::quorum());
    Reader::open(&source).await.unwrap().close().await.unwrap();
    move_and_read(&["--to", &uri, "--queue", &queue], source).await;
}

#[cfg(feature = "sqs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_moved_to_sqs() {
    use broadway::sqs::Sqs;
    let Some(address) = broker("sqs") else { return };
    let endpoint = format!("http://{address}");
    let url = format!("{endpoint}/000000000000/{}", unique("moved"));
    let source = Sqs::queue(&url)
        .region("elasticmq")
        .endpoint(&endpoint)
        .credentials("test", "test")
        .create_if_missing();
    Reader::open(&source).await.unwrap().close().await.unwrap();
    let place = ["--endpoint", &endpoint, "--region", "elasticmq"];
    move_and_read(&[&["--to", &url][..], &place].concat(), source).await;
}

#[cfg(feature = "pubsub")]
#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_moved_to_pubsub() {
    use broadway::pubsub::{NewSubscription, PubSub, PubSubPublisher};
    let Some(address) = broker("pubsub") else {
        return;
    };
    let endpoint = format!("http://{address}");
    let name = unique("moved");
    let topic = format!("projects/broadway-test/topics/{name}");
    let publisher = PubSubPublisher::topic(&topic).endpoint(&endpoint);
    let publisher = publisher.create_if_missing().open().await.unwrap();
    publisher.close().await.unwrap();
    let source = PubSub::subscription(format!("projects/broadway-test/subscriptions/{name}"));
    let source = source.endpoint(&endpoint);
    let source = source.create_if_missing(NewSubscription::on(&topic));
    Reader::open(&source).await.unwrap().close().await.unwrap();
    move_and_read(&["--to", &topic, "--endpoint", &endpoint], source).await;
}

#[cfg(feature = "sqs")]
#[test]
fn a_broker_that_is_away_fails() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let orders = QueuePublisher::topic(folder.path(), "orders");
    drop(runtime.block_on(orders.open()).unwrap());
    let mut program = Command::new(env!("CARGO_BIN_EXE_broadway-queue"));
    program.arg("move").arg(folder.path()).arg("orders");
    program.args(["--to", "http://127.0.0.1:1/0/q", "--region", "x"]);
    program.args(["--endpoint", "http://127.0.0.1:1"]);
    program.env("AWS_ACCESS_KEY_ID", "test");
    program.env("AWS_SECRET_ACCESS_KEY", "test");
    let output = program.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.starts_with("broadway-queue: "), "{text}");
}
