//! A memory alarm: the broker reads nothing any more from those who publish.

use std::time::Duration;

use broadway_core::{Outgoing, PublishErrorKind, Publisher, testing::Reader};
use broadway_rabbitmq::RabbitMqPublisher;

use crate::{Node, common::Queue, in_time, until};

/// How many connections the client has here: it has a thread for each.
fn connections() -> usize {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("lapin-io")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_reports_an_alarm_and_continues_after_it() {
    let Some(node) = Node::own().await else {
        return;
    };
    let queue = Queue::create(&node.address.to_string(), "alarm").await;
    queue.send(0..10).await;
    let publisher = RabbitMqPublisher::queue(&queue.name)
        .uri(&queue.uri)
        .confirm_timeout(Duration::from_secs(2));
    let publisher = publisher.open().await.unwrap();
    in_time("a message", publisher.publish_one(Outgoing::new("10")))
        .await
        .unwrap();
    let before = connections();

    node.ctl(&["set_vm_memory_high_watermark", "0"]).await;
    // The alarm reaches the connections one after the other, and so does its notification.
    in_time("an error that names the alarm", async {
        loop {
            let Err(error) = publisher.publish_one(Outgoing::new("11")).await else {
                continue;
            };
            assert_eq!(error.kind(), PublishErrorKind::Unconfirmed);
            let said = error.to_string();
            assert!(said.contains("`confirm_timeout`"), "{said}");
            if said.contains("memory or disk alarm") {
                break;
            }
        }
    })
    .await;
    // Each call gave up a connection, while the broker reads no close.
    for _ in 0..3 {
        let call = publisher.publish_one(Outgoing::new("12"));
        in_time("a call", call).await.unwrap_err();
    }
    until("blocked connections are gone", || connections() <= before).await;

    // A connection that only consumes is not blocked.
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(11).await;
    reader.done(received).await;

    node.ctl(&["set_vm_memory_high_watermark", "absolute", "1GB"])
        .await;
    in_time("the end of the alarm", async {
        while publisher.publish_one(Outgoing::new("13")).await.is_err() {}
    })
    .await;
    let received = reader.exactly(1).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    in_time("closing", publisher.close()).await.unwrap();
    queue.delete().await;
}
