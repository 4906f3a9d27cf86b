//! Lost connections and channels: the source reconnects, no message is lost, and no tag leaves its channel.

use std::{collections::BTreeSet, time::Duration};

use broadway_core::{Acknowledger, testing::Reader};
use broadway_rabbitmq::Declare;
use lapin::options::QueueDeleteOptions;

use crate::common::{Queue, broker, management, number, numbers, proxy, unique};

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_messages_come_again_when_their_connection_was_killed() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "killed").await;
    queue.send(0..3).await;
    let name = unique("reader");
    let source = queue.source().connection_name(&name);
    let mut reader = Reader::open(&source).await.unwrap();
    let mut received = reader.exactly(3).await;
    let held = received.split_off(1);
    reader.done(received).await;
    management::kill(&name).await;
    let again = reader.exactly(2).await;
    assert_eq!(numbers(&again), [1, 2]);
    assert!(again.iter().all(|delivery| delivery.item.redelivered()));
    // Late results of the lost channel are ignored, and those of the new one are not.
    let acknowledger = reader.acknowledger();
    assert!(held.iter().all(|old| acknowledger.is_stale(&old.token)));
    assert!(!again.iter().any(|new| acknowledger.is_stale(&new.token)));
    reader.done(held).await;
    reader.done(again).await;
    let recorder = reader.close().await.unwrap();
    assert!(recorder.count("source_error") > 0);
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_lost_channel_are_never_used_on_the_next() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "stale").await;
    queue.send(0..100).await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue.source().uri(&uri);
    let mut reader = Reader::open(&source).await.unwrap();
    let old = reader.exactly(100).await;
    proxy.cut();
    let new = reader.exactly(1).await;
    // The tag of `new` is 1, which is also that of one of the old. On the new channel the others would be unknown, which closes it; and
    // a message that was never handled would be acknowledged.
    reader.done(old).await;
    drop(new);
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.count("source_error"), 1);
    assert_eq!(queue.ready().await, 100);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cut_connections_lose_nothing() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "hundred").await;
    queue.send(0..1_000).await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue.source().uri(&uri);
    let mut reader = Reader::open(&source).await.unwrap();
    let mut done = BTreeSet::new();
    for cut in 0..100 {
        let received = reader.some(9).await.unwrap();
        done.extend(received.iter().map(number));
        reader.done(received).await;
        if cut % 2 == 0 {
            // With messages in the pipeline.
            drop(reader.some(3).await.unwrap());
        }
        proxy.cut();
    }
    while done.len() < 1_000 {
        let received = reader.some(100).await.unwrap();
        done.extend(received.iter().map(number));
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_an_error_and_not_a_hang() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "deleted").await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let (_, error) = tokio::join!(queue.delete(), reader.some(1));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains(&queue.name) && error.contains("create"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_that_is_declared_is_made_again() {
    let Some(address) = broker() else { return };
    let queue = Queue::open(&address, "again").await;
    let name = unique("reader");
    let source = queue
        .source()
        .connection_name(&name)
        .declare(Declare::classic());
    let mut reader = Reader::open(&source).await.unwrap();
    let remake = async {
        queue
            .channel
            .queue_delete(queue.name.as_str().into(), QueueDeleteOptions::default())
            .await
            .unwrap();
    };
    let (received, ()) = tokio::join!(
        async {
            tokio::select! {
                received = reader.exactly(1) => received,
                () = async {
                    // Repeats until one arrives: a message to a queue that does not exist yet is dropped.
                    loop {
                        queue.send(0..1).await;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                } => unreachable!(),
            }
        },
        remake
    );
    // The connection whose consumer was cancelled is not kept.
    management::until_connections(&name, 1).await;
    reader.done(received).await;
    reader.close().await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_broker_is_noticed_by_its_missing_heartbeats() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "silent").await;
    queue.send(0..1).await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue.source().uri(&uri).heartbeat(Duration::from_secs(1));
    let mut reader = Reader::open(&source).await.unwrap();
    let held = reader.exactly(1).await;
    proxy.freeze();
    let recorder = reader.recorder().clone();
    reader
        .nothing_until(async {
            while recorder.count("source_error") == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    proxy.cut();
    proxy.thaw();
    let again = reader.exactly(1).await;
    assert!(reader.acknowledger().is_stale(&held[0].token));
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_without_a_broker_fails_in_time() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "gone").await;
    queue.send(0..10).await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue
        .source()
        .uri(&uri)
        .close_timeout(Duration::from_millis(500));
    for silent in [false, true] {
        let mut reader = Reader::open(&source).await.unwrap();
        let received = reader.exactly(5).await;
        if silent {
            proxy.freeze();
        } else {
            proxy.cut();
        }
        reader.done(received).await;
        let Err(error) = reader.close().await else {
            panic!("closed without a broker");
        };
        assert!(error.to_string().contains("not confirmed"), "{error}");
        proxy.cut();
        proxy.thaw();
    }
    queue.until_ready(10).await;
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_without_a_broker_succeeds_when_nothing_was_to_be_confirmed() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "idle").await;
    queue.send(0..10).await;
    let (proxy, uri) = proxy(&address).await;
    let source = queue
        .source()
        .uri(&uri)
        .close_timeout(Duration::from_millis(500));
    let mut reader = Reader::open(&source).await.unwrap();
    // Never settled: they go back to the queue with the connection.
    let held = reader.exactly(5).await;
    proxy.cut();
    reader.close().await.unwrap();
    drop(held);
    queue.until_ready(10).await;
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_close_reports_the_number_of_messages_that_come_again() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "given-up").await;
    queue.send(0..300).await;
    let (proxy, uri) = proxy(&address).await;
    // Longer than the test waits.
    let source = queue.source().uri(&uri).close_timeout(Duration::MAX);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(200).await;
    let recorder = reader.recorder().clone();
    proxy.freeze();
    reader.done(received).await;
    let closed = tokio::time::timeout(Duration::from_millis(200), reader.close()).await;
    assert!(closed.is_err(), "closed without a broker");
    let told = recorder.of("source_error");
    let [told] = &told[..] else {
        panic!("{told:?}");
    };
    let said = told.get("error").unwrap();
    let digits: String = said.chars().skip_while(|c| !c.is_ascii_digit()).collect();
    let n: u64 = digits.split(' ').next().unwrap().parse().unwrap();
    assert!((200..=300).contains(&n), "{said}");
    proxy.cut();
    proxy.thaw();
    queue.until_ready(300).await;
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_outcomes_of_a_lost_channel_are_counted() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "late").await;
    queue.send(0..10).await;
    let (proxy, uri) = proxy(&address).await;
    let mut reader = Reader::open(&queue.source().uri(&uri)).await.unwrap();
    let old = reader.exactly(10).await;
    proxy.cut();
    let new = reader.exactly(10).await;
    reader.done(old).await;
    reader.done(new).await;
    let recorder = reader.close().await.unwrap();
    assert_eq!(recorder.sum("late_results", "count"), 10);
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}
