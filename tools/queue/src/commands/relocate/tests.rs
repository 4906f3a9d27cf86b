//! Moves a topic to another embedded queue, which is a publisher as brokers are.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use broadway::{
    Record,
    publisher::PublishError,
    queue::{OnFailure, QueuePublisher, TopicOptions},
    testing::Reader,
};
use clap::Parser;

use super::*;
use crate::args::{Args, Command};

fn arguments(folder: &Path, more: &[&str]) -> Move {
    let folder = folder.to_str().unwrap();
    let line = [
        "broadway-queue",
        "move",
        folder,
        "orders",
        "--to",
        "kafka://a:1/t",
    ];
    match Args::parse_from([&line[..], more].concat()).command {
        Command::Move(args) => args,
        other => panic!("{other:?}"),
    }
}

/// A signal reaches all pipelines of the process.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Publishes messages of seven keys, numbered in their order.
async fn publish(folder: &Path, numbers: std::ops::Range<u32>) {
    let orders = QueuePublisher::topic(folder, "orders");
    let orders = orders.create_with(TopicOptions::new().partitions(3));
    let orders = orders.open().await.unwrap();
    let message = |n: u32| Outgoing::new(n.to_string()).key(format!("k{}", n % 7));
    for result in orders.publish(numbers.map(message).collect()).await {
        result.unwrap();
    }
    orders.close().await.unwrap();
}

/// The numbers of each key at the destination, in their order.
fn moved(folder: &Path) -> BTreeMap<Vec<u8>, Vec<u32>> {
    let admin = QueueAdmin::open(folder).unwrap();
    let mut moved: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for partition in 0..topic_of(&admin, "orders").unwrap().partitions.len() as u32 {
        for record in admin.records("orders", partition, 0).unwrap() {
            let record = record.unwrap();
            let number = std::str::from_utf8(record.payload()).unwrap();
            let numbers = moved.entry(record.key().unwrap().to_vec()).or_default();
            numbers.push(number.parse().unwrap());
        }
    }
    moved
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_moved_in_the_order_of_keys_with_its_origin_and_continued() {
    let _one = ONE_AT_A_TIME.lock().await;
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [from, to] = [folders[0].path(), folders[1].path()];
    for numbers in [0..5_000, 5_000..8_000] {
        publish(from, numbers).await;
        let admin = QueueAdmin::open(from).unwrap();
        let publisher = QueuePublisher::topic(to, "orders").open().await.unwrap();
        let outcome = relocate(&admin, &arguments(from, &[]), publisher).await;
        assert_eq!(outcome.unwrap(), Outcome::Done);
    }
    let moved = moved(to);
    assert_eq!(moved.len(), 7);
    for (n, numbers) in (0..).zip(moved.values()) {
        let wanted: Vec<_> = (0..8_000).filter(|number| number % 7 == n).collect();
        assert_eq!(numbers, &wanted);
    }
    let admin = QueueAdmin::open(to).unwrap();
    let mut records = (0..8).flat_map(|partition| admin.records("orders", partition, 0).unwrap());
    let record = records.next().unwrap().unwrap();
    assert_eq!(record.header(handler::ORIGIN[0]), Some(&b"orders"[..]));
    let place = [1, 2].map(|n| {
        let value = record.header(handler::ORIGIN[n]).unwrap();
        std::str::from_utf8(value).unwrap().parse::<u64>().unwrap()
    });
    let source = QueueAdmin::open(from).unwrap();
    let mut origin = source.records("orders", place[0] as u32, place[1]).unwrap();
    assert_eq!(origin.next().unwrap().unwrap().payload(), record.payload());
}

/// Refuses one message.
struct Refuses(&'static [u8], AtomicBool);

impl Publisher for Refuses {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let is_refused =
            |message: &Outgoing| message.payload().is_some_and(|payload| payload == self.0);
        let results = messages.iter().map(|message| match is_refused(message) {
            true => Err(PublishError::refused("it is too large")),
            false => Ok(()),
        });
        results.collect()
    }

    async fn flush(&self) -> Result<(), BoxError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.1.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_refused_stays_and_holds_back_only_its_key() {
    let _one = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), 0..700).await;
    let admin = QueueAdmin::open(folder.path()).unwrap();
    let args = arguments(folder.path(), &["--give-up", "2", "--group", "g"]);
    let refuses = Arc::new(Refuses(b"350", AtomicBool::new(false)));
    let outcome = relocate(&admin, &args, Arc::clone(&refuses)).await;
    assert_eq!(outcome.unwrap(), Outcome::Failed);
    assert!(refuses.1.load(Ordering::Relaxed), "the publisher is closed");
    let stat = topic_of(&admin, "orders").unwrap();
    // 350, 357, … 693 are of its key.
    assert_eq!((&*stat.groups[0].name, stat.groups[0].unsettled), ("g", 50));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_move_that_follows_and_what_was_confirmed_is_not_moved_again() {
    let _one = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), 0..700).await;
    let admin = QueueAdmin::open(folder.path()).unwrap();
    let args = arguments(folder.path(), &["--follow"]);
    let accepts = Refuses(b"none", AtomicBool::new(false));
    let unsettled = || topic_of(&admin, "orders").unwrap().groups[0].unsettled;
    let interrupt = async {
        while topic_of(&admin, "orders").unwrap().groups.is_empty() || unsettled() > 0 {
            tokio::time::sleep(TICK).await;
        }
        publish(folder.path(), 700..800).await;
        while unsettled() > 0 {
            tokio::time::sleep(TICK).await;
        }
        let mut kill = std::process::Command::new("kill");
        kill.args(["-INT", &std::process::id().to_string()]);
        assert!(kill.status().unwrap().success());
    };
    let (outcome, ()) = tokio::join!(relocate(&admin, &args, accepts), interrupt);
    assert_eq!(outcome.unwrap(), Outcome::Done);
    drop(admin);
    let admin = QueueAdmin::open(folder.path()).unwrap();
    assert_eq!(topic_of(&admin, "orders").unwrap().groups[0].unsettled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_wait_for_a_retry_are_moved_at_once() {
    let _one = ONE_AT_A_TIME.lock().await;
    let folder = tempfile::tempdir().unwrap();
    publish(folder.path(), 0..100).await;
    let source = Queue::topic(folder.path(), "orders").group("billing");
    let source = source.on_failure(OnFailure::RedeliverAfter(Duration::from_secs(3_600)));
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(100).await;
    reader.failed(received).await;
    reader.close().await.unwrap();

    let admin = QueueAdmin::open(folder.path()).unwrap();
    assert_eq!(topic_of(&admin, "orders").unwrap().groups[0].unsettled, 100);
    let args = arguments(folder.path(), &["--give-up", "10", "--group", "billing"]);
    let accepts = Refuses(b"none", AtomicBool::new(false));
    let outcome = relocate(&admin, &args, accepts).await;
    assert_eq!(outcome.unwrap(), Outcome::Done);
}
