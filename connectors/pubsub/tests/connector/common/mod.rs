//! Helpers of the tests: a server, with topics, subscriptions and messages.
#![allow(unreachable_pub, reason = "each connector's tests use a part of it")]

pub mod fake;
#[path = "../../../../sqs/tests/connector/common/hostile.rs"]
pub mod hostile;
#[path = "../../../../sqs/tests/connector/common/lags.rs"]
pub mod lags;
#[path = "../../../../sqs/tests/connector/common/tls.rs"]
pub mod tls;

use std::{
    collections::HashMap,
    net::ToSocketAddrs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime},
};

use broadway_core::{
    Record,
    testing::{Proxy, Reader},
};
use broadway_pubsub::{PubSub, PubSubProducer, PubSubRecord, Token};
use google_cloud_auth::credentials::anonymous::Builder as Anonymous;
use google_cloud_pubsub::{
    client::{Publisher, SubscriptionAdmin, TopicAdmin},
    model::{DeadLetterPolicy, Message, Subscription},
};
use tokio::time::timeout;

/// A message from a reader of this connector.
pub type Received = broadway_core::Delivery<PubSubRecord, Token>;

/// The limit on every wait of a test: far above what is needed, so that only a hang reaches it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Set in the process of a test that runs alone, with an environment of its own.
const ALONE: &str = "BROADWAY_TEST_ALONE";

pub fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs the test with this name, its module included, in a process of its own, with these variables, and without credentials.
pub fn run_alone(test: &str, variables: &[(&str, &str)]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env_remove("GOOGLE_APPLICATION_CREDENTIALS");
    // Neither a home folder nor a metadata service has any.
    command.env("HOME", "/nonexistent");
    command.env("GCE_METADATA_HOST", "127.0.0.1:1");
    command.env(ALONE, "yes").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

/// Longer than a lease, which is 10 s at the servers that the tests use.
const LEASE: Duration = Duration::from_secs(12);

/// The address of the test broker. `None`, after printing that the test is skipped, if there is none.
pub fn server() -> Option<String> {
    broadway_test_brokers::broker("pubsub")
}

/// A proxy to the server that can fail, and its endpoint.
pub async fn proxy(endpoint: &str) -> (Proxy, String) {
    let server = endpoint.trim_start_matches("http://");
    let server = server.to_socket_addrs().unwrap().next().unwrap();
    let proxy = Proxy::start(server).await.unwrap();
    let endpoint = format!("http://{}", proxy.address());
    (proxy, endpoint)
}

/// Whether the server is Google's emulator, which sends messages to ended streams until their leases expire. Its answers have no
/// `Date` header.
pub fn is_emulator(endpoint: &str) -> bool {
    use std::io::{BufRead, BufReader, Write};
    let address = endpoint.trim_start_matches("http://");
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(connection, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let lines = BufReader::new(connection).lines().map(Result::unwrap);
    let mut head = lines.take_while(|line| !line.is_empty());
    !head.any(|line| line.to_ascii_lowercase().starts_with("date:"))
}

/// An id that is unique among tests and runs.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A topic and a subscription to it.
pub struct Fixture {
    pub endpoint: String,
    pub topic: String,
    pub subscription: String,
}

impl Fixture {
    /// With a plain subscription. `None` if no server is running.
    pub async fn new(name: &str) -> Option<Self> {
        Self::with(name, |subscription| subscription).await
    }

    pub async fn ordered(name: &str) -> Option<Self> {
        Self::with(name, |subscription| {
            subscription.set_enable_message_ordering(true)
        })
        .await
    }

    pub async fn exactly_once(name: &str) -> Option<Self> {
        Self::with(name, |subscription| {
            subscription.set_enable_exactly_once_delivery(true)
        })
        .await
    }

    /// With a dead-letter topic, to which messages go after `attempts` deliveries. Returns that topic, too.
    pub async fn dead_lettered(name: &str, attempts: i32) -> Option<(Self, Self)> {
        let dead = Self::new(&format!("{name}-dead")).await?;
        let topic = dead.topic.clone();
        let fixture = Self::with(name, |subscription| {
            let policy = DeadLetterPolicy::new()
                .set_dead_letter_topic(topic)
                .set_max_delivery_attempts(attempts);
            subscription.set_dead_letter_policy(policy)
        });
        Some((fixture.await?, dead))
    }

    async fn with(name: &str, change: impl FnOnce(Subscription) -> Subscription) -> Option<Self> {
        let endpoint = format!("http://{}", server()?);
        let id = unique(name);
        let topic = format!("projects/broadway/topics/{id}");
        let subscription = format!("projects/broadway/subscriptions/{id}");
        topic_admin(&endpoint)
            .await
            .create_topic()
            .set_name(&topic)
            .send()
            .await
            .unwrap();
        let wanted = Subscription::new()
            .set_name(&subscription)
            .set_topic(&topic)
            .set_ack_deadline_seconds(10);
        subscription_admin(&endpoint)
            .await
            .create_subscription()
            .with_request(change(wanted))
            .send()
            .await
            .unwrap();
        Some(Self {
            endpoint,
            topic,
            subscription,
        })
    }

    pub fn source(&self) -> PubSub {
        PubSub::subscription(&self.subscription).endpoint(&self.endpoint)
    }

    pub async fn open(&self) -> Reader<PubSubProducer> {
        Reader::open(&self.source()).await.unwrap()
    }

    /// Publishes these messages, in this order, and waits until the server has them.
    pub async fn publish(&self, messages: impl IntoIterator<Item = Message>) {
        let publisher = Publisher::builder(&self.topic)
            .with_endpoint(&self.endpoint)
            .with_credentials(Anonymous::new().build())
            .build()
            .await
            .unwrap();
        let sent: Vec<_> = messages
            .into_iter()
            .map(|message| publisher.publish(message))
            .collect();
        publisher.flush().await;
        for result in sent {
            result.await.unwrap();
        }
    }

    pub async fn publish_numbers(&self, numbers: std::ops::Range<u64>) {
        let messages = numbers.map(|number| Message::new().set_data(number.to_string()));
        self.publish(messages).await;
    }

    pub async fn delete_topic(&self) {
        let admin = topic_admin(&self.endpoint).await;
        let request = admin.delete_topic().set_topic(&self.topic);
        request.send().await.unwrap();
    }

    /// Creates the topic again, with a new subscription instead of the one that lost its topic.
    pub async fn create_topic_again(&self) {
        let admin = topic_admin(&self.endpoint).await;
        admin
            .create_topic()
            .set_name(&self.topic)
            .send()
            .await
            .unwrap();
        self.delete_subscription().await;
        let admin = subscription_admin(&self.endpoint).await;
        let request = admin
            .create_subscription()
            .set_name(&self.subscription)
            .set_topic(&self.topic);
        request.send().await.unwrap();
    }

    pub async fn delete_subscription(&self) {
        subscription_admin(&self.endpoint)
            .await
            .delete_subscription()
            .set_subscription(&self.subscription)
            .send()
            .await
            .unwrap();
    }

    /// The messages that a new reader receives, without markers, until every lease of an earlier reader has expired. Markers are
    /// published until one comes, which proves that the stream works: an emulator may send some of them to an ended stream.
    pub async fn rest(&self) -> Vec<String> {
        const MARKER: &str = "marker";
        let mut reader = self.open().await;
        let opened = Instant::now();
        let (mut rest, mut is_marked) = (Vec::new(), false);
        while !is_marked || opened.elapsed() < LEASE {
            assert!(
                opened.elapsed() < PATIENCE * 2,
                "no marker came; before it: {rest:?}"
            );
            self.publish([Message::new().set_data(MARKER)]).await;
            let received = timeout(Duration::from_secs(2), reader.some(100)).await;
            let Ok(received) = received.map(Result::unwrap) else {
                continue;
            };
            let (markers, others): (Vec<_>, Vec<_>) = texts(&received)
                .into_iter()
                .partition(|text| text == MARKER);
            is_marked |= !markers.is_empty();
            rest.extend(others);
            reader.done(received).await;
        }
        reader.close().await.unwrap();
        rest
    }
}

/// Receives exactly `n` messages that were nacked before: an emulator may have sent them to an ended stream, several times.
pub async fn patiently(reader: &mut Reader<PubSubProducer>, n: usize) -> Vec<Received> {
    let begun = Instant::now();
    let mut received = Vec::new();
    while received.len() < n {
        let count = received.len();
        assert!(begun.elapsed() < PATIENCE * 3, "{count} of {n} came");
        let more = reader.some_into(n - count, &mut received);
        if let Ok(more) = timeout(Duration::from_secs(20), more).await {
            more.unwrap();
        }
    }
    received
}

/// Runs the future on a runtime of its own, which ends at once afterwards, as a process would: tasks that still run are dropped.
pub fn then_exit<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let value = runtime.block_on(future);
    runtime.shutdown_background();
    value
}

pub async fn topic_admin(endpoint: &str) -> TopicAdmin {
    TopicAdmin::builder()
        .with_endpoint(endpoint)
        .with_credentials(Anonymous::new().build())
        .build()
        .await
        .unwrap()
}

pub async fn subscription_admin(endpoint: &str) -> SubscriptionAdmin {
    SubscriptionAdmin::builder()
        .with_endpoint(endpoint)
        .with_credentials(Anonymous::new().build())
        .build()
        .await
        .unwrap()
}

pub fn keyed(key: &str, number: u64) -> Message {
    Message::new()
        .set_ordering_key(key)
        .set_data(number.to_string())
}

pub fn text(received: &Received) -> String {
    String::from_utf8(received.item.payload().to_vec()).unwrap()
}

pub fn texts(received: &[Received]) -> Vec<String> {
    received.iter().map(text).collect()
}

pub fn number(received: &Received) -> u64 {
    text(received).parse().unwrap()
}

/// The numbers that were published, sorted.
pub fn numbers(received: &[Received]) -> Vec<u64> {
    let mut numbers: Vec<u64> = received.iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// The number of times of each text.
pub fn counts(texts: impl IntoIterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
}
