//! Helpers of the tests: queues with messages, and their counts.
#![allow(unreachable_pub, reason = "each connector's tests use a part of it")]

pub mod fake;
pub mod hostile;
pub mod lags;
pub mod proxy;
pub mod tls;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{QueueAttributeName, SendMessageBatchRequestEntry},
};
use broadway_core::testing::Received;
use broadway_sqs::{Sqs, SqsProducer};

/// The address of the test broker. `None`, after printing that the test is skipped, if there is none.
pub fn broker() -> Option<String> {
    broadway_test_brokers::broker("sqs")
}

/// A name that is unique among tests and runs.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    format!("{name}-{now:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A client with credentials that the emulator does not check.
pub fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("elasticmq"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// Set in the process of a test that runs alone, with an environment of its own.
const ALONE: &str = "BROADWAY_TEST_ALONE";

pub fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs the test with this name, its module included, in a process of its own, with these variables.
pub fn run_alone(test: &str, variables: &[(&str, &str)]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env(ALONE, "yes").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "{stdout}");
}

/// Asserts that the text contains all of these.
pub fn says(error: &str, words: &[&str]) {
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

/// A queue for one test.
pub struct Queue {
    pub client: Client,
    pub url: String,
}

impl Queue {
    /// Creates a queue with this visibility timeout in seconds. A name that ends with `.fifo` makes a FIFO queue.
    pub async fn create(address: &str, name: &str, visibility: u32) -> Self {
        let client = client(&format!("http://{address}"));
        let name = match name.strip_suffix(".fifo") {
            Some(stem) => format!("{}.fifo", unique(stem)),
            None => unique(name),
        };
        let mut ask = client.create_queue().queue_name(&name).attributes(
            QueueAttributeName::VisibilityTimeout,
            visibility.to_string(),
        );
        if name.ends_with(".fifo") {
            ask = ask
                .attributes(QueueAttributeName::FifoQueue, "true")
                .attributes(QueueAttributeName::ContentBasedDeduplication, "true");
        }
        ask.send().await.unwrap();
        let url = format!("http://{address}/000000000000/{name}");
        Self { client, url }
    }

    /// Creates a queue with this visibility timeout in seconds, whose messages move to a second queue after so many deliveries.
    pub async fn with_redrive(address: &str, name: &str, visibility: u32, count: u32) -> Self {
        let dead = Self::create(address, &format!("{name}-dead"), visibility).await;
        let queue = Self::create(address, name, visibility).await;
        let arn = QueueAttributeName::QueueArn;
        let ask = dead.client.get_queue_attributes().queue_url(&dead.url);
        let answer = ask.attribute_names(arn.clone()).send().await.unwrap();
        let arn = &answer.attributes.unwrap()[&arn];
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{count}"}}"#);
        let ask = queue.client.set_queue_attributes().queue_url(&queue.url);
        let ask = ask.attributes(QueueAttributeName::RedrivePolicy, policy);
        ask.send().await.unwrap();
        queue
    }

    /// A source that reads it, with short polls.
    pub fn source(&self) -> Sqs {
        Sqs::queue(&self.url)
            .client(self.client.clone())
            .wait_time(Duration::from_secs(1))
    }

    /// Sends the numbers in decimal.
    pub async fn send(&self, numbers: Range<u64>) {
        self.send_to_groups(numbers, |_| None).await;
    }

    /// Sends the numbers in decimal, each to its group.
    pub async fn send_to_groups(&self, numbers: Range<u64>, group: impl Fn(u64) -> Option<String>) {
        let numbers: Vec<u64> = numbers.collect();
        for chunk in numbers.chunks(10) {
            let entries = chunk.iter().map(|number| {
                SendMessageBatchRequestEntry::builder()
                    .id(number.to_string())
                    .message_body(number.to_string())
                    .set_message_group_id(group(*number))
                    .build()
                    .unwrap()
            });
            let ask = self.client.send_message_batch().queue_url(&self.url);
            let answer = ask.set_entries(Some(entries.collect())).send().await;
            assert!(answer.unwrap().failed.is_empty());
        }
    }

    /// The numbers of visible and of hidden messages.
    pub async fn counts(&self) -> (u64, u64) {
        let (visible, hidden) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let answer = self
            .client
            .get_queue_attributes()
            .queue_url(&self.url)
            .attribute_names(visible.clone())
            .attribute_names(hidden.clone())
            .send()
            .await
            .unwrap();
        let all = answer.attributes.unwrap();
        (
            all[&visible].parse().unwrap(),
            all[&hidden].parse().unwrap(),
        )
    }

    /// Waits until it is empty, visible and hidden messages included, by asking ten times a second.
    pub async fn emptied(&self) {
        while self.counts().await != (0, 0) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// The number in a message of `send`.
pub fn number(received: &Received<SqsProducer>) -> u64 {
    received.item.body().parse().unwrap()
}

pub fn numbers(received: &[Received<SqsProducer>]) -> Vec<u64> {
    received.iter().map(number).collect()
}

pub fn sorted(received: &[Received<SqsProducer>]) -> Vec<u64> {
    let mut numbers = numbers(received);
    numbers.sort_unstable();
    numbers
}
