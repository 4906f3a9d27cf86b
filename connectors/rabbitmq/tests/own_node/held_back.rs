//! Settlements that a quorum queue is slow to apply. The broker holds the later ones back, and drops them with their channel.

use std::time::Duration;

use broadway_core::testing::Reader;
use broadway_rabbitmq::OnFailure;
use lapin::types::AMQPValue;

use crate::{Node, common::Queue};

/// More than the broker sends to the queue before the queue has applied some.
const MESSAGES: u64 = 200;

/// Sets how many settlements the broker sends to a quorum queue that has not applied them; 32 is its default.
async fn send_at_most(node: &Node, settlements: &str) {
    let set = format!("application:set_env(rabbit, quorum_commands_soft_limit, {settlements}).");
    node.ctl(&["eval", &set]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_settles_what_the_broker_holds_back() {
    let Some(node) = Node::own().await else {
        return;
    };
    send_at_most(&node, "2").await;
    let queue = Queue::open(&node.address.to_string(), "held-back").await;
    queue
        .declare(&[("x-queue-type", AMQPValue::LongString("quorum".into()))])
        .await;
    queue.send(0..MESSAGES).await;
    let prefetch = usize::try_from(MESSAGES).unwrap();
    let source = queue
        .source()
        .prefetch(prefetch)
        .on_failure(OnFailure::Reject);
    let mut reader = Reader::open(&source).await.unwrap();
    let mut received = reader.exactly(prefetch).await;
    reader.stop().await;
    // Every other message fails, so that no frame settles more than one.
    while let (Some(last), Some(before)) = (received.pop(), received.pop()) {
        reader.failed([last]).await;
        reader.done([before]).await;
    }
    reader.close().await.unwrap();
    for _ in 0..50 {
        assert_eq!(
            queue.ready().await,
            0,
            "messages that were settled came again"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send_at_most(&node, "32").await;
    queue.delete().await;
}
