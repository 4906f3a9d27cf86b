//! Shared by the tests: queues, the broker's management API, and a connection that can be cut.
#![allow(unreachable_pub, reason = "each connector's tests use a part of it")]

#[path = "../../../../sqs/tests/connector/common/lags.rs"]
pub mod lags;
pub mod management;
pub mod raw;

use std::{
    net::ToSocketAddrs,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use broadway_core::{
    Record,
    testing::{Proxy, Received},
};
use broadway_rabbitmq::{RabbitMq, RabbitMqProducer};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};

/// The test broker; `None` after printing that the test is left out.
pub fn broker() -> Option<String> {
    broadway_test_brokers::broker("rabbitmq")
}

/// A proxy in front of the broker that can be cut, and its URI.
pub async fn proxy(broker: &str) -> (Proxy, String) {
    let broker = broker.to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(broker).await.unwrap();
    let uri = format!("amqp://guest:guest@{}/%2f", proxy.address());
    (proxy, uri)
}

/// A name that no other test and no earlier run has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A queue of a test, with a connection of its own for looking and sending. A test that fails leaves its queue behind.
pub struct Queue {
    pub uri: String,
    pub name: String,
    pub channel: Channel,
    _connection: Connection,
}

impl Queue {
    /// A classic queue.
    pub async fn create(address: &str, name: &str) -> Self {
        let queue = Self::open(address, name).await;
        queue.declare(&[]).await;
        queue
    }

    /// No queue yet, only its name.
    pub async fn open(address: &str, name: &str) -> Self {
        let uri = format!("amqp://guest:guest@{address}/%2f");
        let connection = Connection::connect(&uri, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        Self {
            uri,
            name: unique(name),
            channel,
            _connection: connection,
        }
    }

    /// Durable, with these arguments.
    pub async fn declare(&self, arguments: &[(&str, AMQPValue)]) {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        self.channel
            .queue_declare(self.name.as_str().into(), options, table)
            .await
            .unwrap();
    }

    pub fn source(&self) -> RabbitMq {
        RabbitMq::queue(&self.name).uri(&self.uri)
    }

    /// Sends numbers in decimal, and waits until the broker has them.
    pub async fn send(&self, numbers: Range<u64>) {
        self.send_with(numbers, BasicProperties::default()).await;
    }

    /// As `send`, kept on disk.
    pub async fn send_persistent(&self, numbers: Range<u64>) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        self.send_with(numbers, properties).await;
    }

    /// As `send`, with these properties.
    pub async fn send_with(&self, numbers: Range<u64>, properties: BasicProperties) {
        let mut confirms = Vec::new();
        for number in numbers {
            let payload = number.to_string();
            let sent = self.channel.basic_publish(
                "".into(),
                self.name.as_str().into(),
                BasicPublishOptions::default(),
                payload.as_bytes(),
                properties.clone(),
            );
            confirms.push(sent.await.unwrap());
        }
        for confirm in confirms {
            assert!(confirm.await.unwrap().is_ack());
        }
    }

    /// The number of ready messages, without those that are unsettled at a consumer.
    pub async fn ready(&self) -> u32 {
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let name = self.name.as_str().into();
        let queue = self
            .channel
            .queue_declare(name, passive, FieldTable::default());
        queue.await.unwrap().message_count()
    }

    /// Waits until `n` messages are ready. AMQP has no notification for that, so this asks every few milliseconds.
    pub async fn until_ready(&self, n: u32) {
        let reached = async {
            while self.ready().await != n {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = Duration::from_secs(60);
        let reached = tokio::time::timeout(patience, reached).await;
        assert!(reached.is_ok(), "{} are ready, not {n}", self.ready().await);
    }

    pub async fn delete(&self) {
        let name = self.name.as_str().into();
        self.channel
            .queue_delete(name, QueueDeleteOptions::default())
            .await
            .unwrap();
    }
}

/// The number that `send` put into a message.
pub fn number(received: &Received<RabbitMqProducer>) -> u64 {
    let text = std::str::from_utf8(received.item.payload()).unwrap();
    text.parse().unwrap()
}

pub fn numbers(received: &[Received<RabbitMqProducer>]) -> Vec<u64> {
    received.iter().map(number).collect()
}
