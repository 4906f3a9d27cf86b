//! A handler that blocks the only thread of its runtime: what keeps connections alive has a thread of its own.

use std::{thread, time::Duration};

use broadway_core::{Outgoing, Publisher, testing::Reader};
use broadway_rabbitmq::RabbitMqPublisher;

use crate::common::{Queue, broker, management, numbers, raw::Raw, unique};

const HEARTBEAT: Duration = Duration::from_secs(1);

/// Runs this on another thread, and blocks the caller's until it is done.
fn block_until(done: impl Future<Output = ()> + Send + 'static) {
    let other = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let in_time = async { tokio::time::timeout(Duration::from_secs(60), done).await };
        runtime.block_on(in_time).expect("done in time");
    });
    other.join().unwrap();
}

/// Blocks for a little longer than the broker tolerates a client without heartbeats: until it has closed the connection of another.
fn block_longer_than_the_broker_bears(address: &str) {
    let address = address.to_owned();
    block_until(async move {
        for _ in 0..2 {
            let silent = Raw::connect_with(&address, 1).await;
            silent.until_closed().await;
        }
    });
}

#[tokio::test]
async fn a_source_keeps_its_connection_while_a_handler_blocks() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "blocked").await;
    queue.send(0..3).await;
    let source = queue.source().heartbeat(HEARTBEAT);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(3).await;
    block_longer_than_the_broker_bears(&address);
    reader.done(received).await;
    queue.send(3..4).await;
    let next = reader.exactly(1).await;
    assert_eq!(numbers(&next), [3]);
    reader.done(next).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.count("source_error"), 0);
    assert_eq!(recorder.count("late_results"), 0);
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test]
async fn acknowledgements_that_are_due_go_out_while_a_handler_blocks() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "held").await;
    queue.send(0..3).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(3).await;
    // The first is being handled, so the acknowledgements of the others are held back.
    let first: Vec<_> = received.drain(..1).collect();
    reader.done(received).await;
    let path = format!("/api/queues/%2f/{}", queue.name);
    // The only thread of this runtime waits until the broker knows.
    block_until(async move { management::until_unacknowledged(&path, 1).await });
    reader.done(first).await;
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test]
async fn a_publisher_keeps_its_connection_while_a_handler_blocks() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "publisher").await;
    let name = unique("blocked-publisher");
    let publisher = RabbitMqPublisher::queue(&queue.name)
        .uri(&queue.uri)
        .connection_name(&name)
        .heartbeat(HEARTBEAT);
    let publisher = publisher.open().await.unwrap();
    publisher.publish_one(Outgoing::new("0")).await.unwrap();
    block_longer_than_the_broker_bears(&address);
    publisher.publish_one(Outgoing::new("1")).await.unwrap();
    // Not a second one.
    management::until_connections(&name, 1).await;
    publisher.close().await.unwrap();
    assert_eq!(queue.ready().await, 2);
    queue.delete().await;
}

#[test]
fn a_runtime_may_end_while_a_source_and_a_publisher_are_open() {
    let Some(address) = broker() else { return };
    for threads in [1, 2] {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .enable_all()
            .build()
            .unwrap();
        let (reader, publisher) = runtime.block_on(async {
            let queue = Queue::create(&address, "dropped").await;
            let reader = Reader::open(&queue.source()).await.unwrap();
            let publisher = RabbitMqPublisher::queue(&queue.name).uri(&queue.uri);
            let publisher = publisher.open().await.unwrap();
            queue.delete().await;
            (reader, publisher)
        });
        drop(runtime);
        drop((reader, publisher));
    }
}
