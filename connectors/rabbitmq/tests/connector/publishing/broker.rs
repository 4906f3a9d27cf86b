//! What the tests share: a queue of one's own, and the management plugin.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use broadway_core::{Outgoing, PublishError, PublishErrorKind};
use broadway_rabbitmq::{RabbitMqPublisher, RabbitMqPublisherBuilder};
use lapin::{
    Channel, Connection, ConnectionProperties,
    message::BasicGetMessage,
    options::{
        BasicGetOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The bound on every wait: far above what is needed, so that only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The test broker; `None`, with a message, if there is none and none is required.
pub(crate) fn broker() -> Option<String> {
    broadway_test_brokers::broker("rabbitmq")
}

pub(crate) fn uri(address: &str) -> String {
    format!("amqp://guest:guest@{address}/%2f")
}

/// A name that no other test and no earlier run has.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A queue of its own for a test, seen with the client alone.
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) uri: String,
    channel: Channel,
    /// Ends the channel when it goes.
    _connection: Connection,
}

impl Queue {
    pub(crate) async fn create(address: &str, name: &str) -> Self {
        let (name, uri) = (unique(name), uri(address));
        let connection = Connection::connect(&uri, ConnectionProperties::default());
        let connection = connection.await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let options = QueueDeclareOptions::default();
        let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        declared.await.unwrap();
        Self {
            name,
            uri,
            channel,
            _connection: connection,
        }
    }

    pub(crate) fn publisher(&self) -> RabbitMqPublisherBuilder {
        RabbitMqPublisher::queue(&self.name).uri(&self.uri)
    }

    pub(crate) async fn get(&self) -> Option<BasicGetMessage> {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(self.name.as_str().into(), options);
        got.await.unwrap()
    }

    /// All payloads in it.
    pub(crate) async fn payloads(&self) -> Vec<String> {
        let mut payloads = Vec::new();
        while let Some(message) = self.get().await {
            payloads.push(String::from_utf8(message.delivery.data).unwrap());
        }
        payloads
    }

    /// The exchange's messages with this pattern of routing keys go to the queue.
    pub(crate) async fn bind(&self, exchange: &str, pattern: &str) {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let name = self.name.as_str().into();
        let (exchange, pattern) = (exchange.into(), pattern.into());
        let bound = self
            .channel
            .queue_bind(name, exchange, pattern, options, arguments);
        bound.await.unwrap();
    }

    pub(crate) async fn delete_exchange(&self, name: &str) {
        let options = ExchangeDeleteOptions::default();
        let deleted = self.channel.exchange_delete(name.into(), options);
        deleted.await.unwrap();
    }

    pub(crate) async fn delete(self) {
        let options = QueueDeleteOptions::default();
        let deleted = self
            .channel
            .queue_delete(self.name.as_str().into(), options);
        deleted.await.unwrap();
    }
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("done in time")
}

pub(crate) fn numbered(n: usize) -> Vec<Outgoing> {
    (0..n).map(|n| Outgoing::new(n.to_string())).collect()
}

pub(crate) fn kinds(results: &[Result<(), PublishError>]) -> Vec<Option<PublishErrorKind>> {
    let kind = |result: &Result<(), PublishError>| result.as_ref().err().map(PublishError::kind);
    results.iter().map(kind).collect()
}

/// Where the management plugin answers; `None` where it does not.
pub(crate) fn management() -> Option<String> {
    broadway_test_brokers::broker("rabbitmq_management")
}

pub(crate) async fn ask(management: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(management).await.unwrap();
    // guest:guest
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {management}\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Closes the connection that has this name as soon as the plugin knows of it.
pub(crate) async fn close_connection(management: &str, name: &str) {
    loop {
        let all = ask(
            management,
            "GET",
            "/api/connections?columns=name,user_provided_name",
        )
        .await;
        let ours = all.split('}').find(|entry| entry.contains(name));
        let found = ours.and_then(|entry| entry.split("\"name\":\"").nth(1));
        if let Some(id) = found.and_then(|rest| rest.split('"').next()) {
            let path = id
                .replace(' ', "%20")
                .replace('>', "%3E")
                .replace(':', "%3A");
            let answer = ask(management, "DELETE", &format!("/api/connections/{path}")).await;
            assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
            return;
        }
        tokio::task::yield_now().await;
    }
}
