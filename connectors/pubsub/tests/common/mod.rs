//! What the tests share: a server, topics and subscriptions on it, and messages in them.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

pub mod proxy;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use broadway_core::{Record, testing::Reader};
use broadway_pubsub::{PubSub, PubSubProducer, PubSubRecord, Token};
use google_cloud_auth::credentials::anonymous::Builder as Anonymous;
use google_cloud_pubsub::{
    client::{Publisher, SubscriptionAdmin, TopicAdmin},
    model::{DeadLetterPolicy, Message, Subscription},
};

/// What a reader of this connector gives.
pub type Received = broadway_core::Delivery<PubSubRecord, Token>;

/// The bound on every wait that is a test's own: far above what is needed, so that only a hang meets it.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The test server; `None` (and a word about it) where there is none and none is required.
pub fn server() -> Option<String> {
    let address = std::env::var("BROADWAY_PUBSUB").unwrap_or_else(|_| "127.0.0.1:19085".to_owned());
    if std::net::TcpStream::connect(&address).is_ok() {
        return Some(address);
    }
    let hint = format!("no Pub/Sub at {address}: start it with `scripts/brokers up pubsub`");
    assert!(
        std::env::var_os("BROADWAY_REQUIRE_BROKERS").is_none(),
        "{hint}"
    );
    eprintln!("left out: {hint}");
    None
}

/// Whether the server is Google's emulator, which sends messages to streams that are gone until their leases run out. Both
/// servers answer the same; only the other one says when.
pub fn is_emulator(endpoint: &str) -> bool {
    use std::io::{BufRead, BufReader, Write};
    let address = endpoint.trim_start_matches("http://");
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    write!(connection, "GET / HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let lines = BufReader::new(connection).lines().map(Result::unwrap);
    let mut head = lines.take_while(|line| !line.is_empty());
    !head.any(|line| line.to_ascii_lowercase().starts_with("date:"))
}

/// An id that no other test and no earlier run has.
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
    /// With a plain subscription. `None` where no server answers.
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

    /// With a dead-letter topic, to which messages go after `attempts` deliveries; its name comes too.
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

    /// The topic, with a new subscription instead of the one that lost its topic.
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

    /// Whether a fresh reader is given anything but the marker, which is published now. What was acknowledged stays away; what
    /// was given back comes before the marker or soon after it, so this is a proof only of something that comes.
    pub async fn rest(&self) -> Vec<String> {
        self.publish([Message::new().set_data("marker")]).await;
        let mut reader = self.open().await;
        let mut rest = Vec::new();
        loop {
            let received = reader.exactly(1).await;
            let text = text(&received[0]);
            reader.done(received).await;
            if text == "marker" {
                break;
            }
            rest.push(text);
        }
        reader.close().await.unwrap();
        rest
    }
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

/// How often each text came.
pub fn counts(texts: impl IntoIterator<Item = String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
}
