//! Restarts of the broker, in the midst of reading and publishing. `BROADWAY_RABBITMQ_RESTARTS` is their number.

use std::{collections::BTreeSet, time::Instant};

use broadway_core::{
    Outgoing, Publisher,
    testing::{Proxy, Reader, Received},
};
use broadway_rabbitmq::{RabbitMqProducer, RabbitMqPublisher};

use crate::{
    Node,
    common::{Queue, number, numbers},
    in_time, until,
};

/// Messages that are published before each end of the broker, and as many while it is away.
const EACH_TIME: u64 = 10;

/// A reader and a publisher, each with its own way to the broker.
struct Scene {
    reader: Reader<RabbitMqProducer>,
    publisher: RabbitMqPublisher,
    reads: Proxy,
    publishes: Proxy,
    /// Numbers from 0 up to this are confirmed.
    sent: u64,
    /// Messages that are not settled yet.
    held: Vec<Received<RabbitMqProducer>>,
    /// What came, repetitions too.
    deliveries: usize,
}

impl Scene {
    async fn open(node: &Node, queue: &Queue) -> Self {
        let reads = Proxy::start(node.address).await.unwrap();
        let publishes = Proxy::start(node.address).await.unwrap();
        let uri = |proxy: &Proxy| format!("amqp://guest:guest@{}/%2f", proxy.address());
        let publisher = RabbitMqPublisher::queue(&queue.name).uri(uri(&publishes));
        let source = queue.source().uri(uri(&reads));
        Self {
            reader: Reader::open(&source).await.unwrap(),
            publisher: publisher.open().await.unwrap(),
            reads,
            publishes,
            sent: 0,
            held: Vec::new(),
            deliveries: 0,
        }
    }

    /// Publishes the next numbers, and repeats those that were not confirmed, until all are.
    async fn publish(&mut self) {
        let mut left: Vec<u64> = (self.sent..self.sent + EACH_TIME).collect();
        while !left.is_empty() {
            let messages = left.iter().map(|n| Outgoing::new(n.to_string()));
            let results = in_time("a call", self.publisher.publish(messages.collect())).await;
            let mut confirmed = results.iter().map(Result::is_ok);
            left.retain(|_| !confirmed.next().unwrap());
        }
        self.sent += EACH_TIME;
    }

    /// Reads until all of these have come.
    async fn read(&mut self, mut expected: BTreeSet<u64>) {
        while !expected.is_empty() {
            let received = self.reader.some(100).await.unwrap();
            self.deliveries += received.len();
            for number in numbers(&received) {
                expected.remove(&number);
            }
            self.held.extend(received);
        }
    }

    /// Settles all messages but the last `n`, and returns those.
    async fn settle_all_but(&mut self, n: usize) -> BTreeSet<u64> {
        let rest = self.held.split_off(self.held.len().saturating_sub(n));
        let settled = std::mem::replace(&mut self.held, rest);
        self.reader.done(settled).await;
        numbers(&self.held).into_iter().collect()
    }

    /// Stops the broker with unsettled messages, and starts it again.
    async fn outlive(&mut self, node: &Node, how: &str) {
        self.publish().await;
        self.read((self.sent - EACH_TIME..self.sent).collect())
            .await;
        let unsettled = self.settle_all_but(3).await;

        let before = (self.reads.accepted(), self.publishes.accepted());
        let recorder = self.reader.recorder().clone();
        let source_errors = recorder.count("source_error");
        let began = Instant::now();
        let how = [how];
        tokio::join!(node.asked(&how), async {
            let noticed = until("the reader notices the end", || {
                recorder.count("source_error") > source_errors
            });
            self.reader.nothing_until(noticed).await;
            self.publish().await;
        });
        // These belong to the lost channel, so their outcomes are ignored, and they are delivered again.
        self.settle_all_but(0).await;
        let fresh = self.sent - EACH_TIME..self.sent;
        self.read(unsettled.into_iter().chain(fresh).collect())
            .await;

        let reads = self.reads.accepted() - before.0;
        let publishes = self.publishes.accepted() - before.1;
        let away = began.elapsed().as_secs_f64();
        println!(
            "{}: {away:.1} s, {reads} and {publishes} connections",
            how[0]
        );
        // Pauses double from half of 0.1 s, and those of the publisher up to 5 s. More would be a storm.
        let doubled = (away / 0.05 + 1.0).log2() + 2.0;
        assert!(reads as f64 <= doubled, "{reads} in {away} s");
        let until_5_s = doubled + away / 5.0;
        assert!(publishes as f64 <= until_5_s, "{publishes} in {away} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_ends_again_and_again_loses_nothing_and_is_not_stormed() {
    let Some(node) = Node::own().await else {
        return;
    };
    let address = node.address.to_string();
    let restarts = std::env::var("BROADWAY_RABBITMQ_RESTARTS");
    let restarts: u64 = restarts.map_or(3, |n| n.parse().unwrap());
    let queue = Queue::open(&address, "restarts").await;
    queue.declare(&[]).await;
    let mut scene = Scene::open(&node, &queue).await;
    let began = Instant::now();
    for n in 0..restarts {
        // Not a kill first: the broker may lose a queue that was declared within two seconds before it.
        let how = match n % 10 {
            1 | 6 => "kill",
            2 => "restart",
            _ => "pause",
        };
        // Where something is lost, publisher and reader would go on for ever.
        in_time(how, scene.outlive(&node, how)).await;
    }
    scene.settle_all_but(0).await;
    scene.reader.close().await.unwrap();
    in_time("closing", scene.publisher.close()).await.unwrap();

    // The others were acknowledged when the broker stopped, so they arrived before.
    let mut queue_now = Queue::open(&address, "restarts").await;
    queue_now.name = queue.name.clone();
    let left = queue_now.ready().await as usize;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(left).await;
    assert!(received.iter().all(|one| number(one) < scene.sent));
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue_now.ready().await, 0);
    println!(
        "{restarts} restarts in {:.0} s: {} messages, {} deliveries",
        began.elapsed().as_secs_f64(),
        scene.sent,
        scene.deliveries + left
    );
    queue_now.delete().await;
}
