//! Messages that SQS does not accept unchanged: they arrive, and are read as they were published.

use broadway_core::{Outgoing, Publisher, testing::Reader};
use broadway_sqs::SqsPublisher;

use crate::common::{
    Queue, broker,
    hostile::{assert_all_came, assert_is_as_it_was, messages},
};

async fn publish_and_read(name: &str) {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, name, 60).await;
    let publisher = SqsPublisher::queue(&queue.url).client(queue.client.clone());
    let publisher = publisher.open().await.unwrap();
    let sent = messages();
    let results = publisher.publish(sent.clone()).await;
    for (result, message) in results.into_iter().zip(&sent) {
        assert!(result.is_ok(), "{result:?}: {message:?}");
    }
    publisher.close().await.unwrap();
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut cases = Vec::new();
    while cases.len() < sent.len() {
        let received = reader.some(10).await.unwrap();
        let read = received
            .iter()
            .map(|one| assert_is_as_it_was(&one.item, &sent));
        cases.extend(read);
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    assert_all_came(cases, &sent);
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_and_dead_letter_is_read_as_it_was_published() {
    publish_and_read("hostile").await;
}

/// Content-based deduplication is on, by which equal bodies are one message: only dead letters, and messages without a payload,
/// have an id of their own. So the others differ.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_equal_bodies_arrive_in_a_fifo_queue() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "hostile.fifo", 60).await;
    let publisher = SqsPublisher::queue(&queue.url).client(queue.client.clone());
    let publisher = publisher.open().await.unwrap();
    let letters: Vec<_> = messages()
        .into_iter()
        .filter(|message| message.is_dead_letter() || message.payload().is_none())
        .collect();
    for result in publisher.publish(letters.clone()).await {
        result.unwrap();
    }
    // Sent again, as after an answer that was lost: stored once.
    for result in publisher.publish(letters.clone()).await {
        result.unwrap();
    }
    publisher.close().await.unwrap();
    let sent = messages();
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut cases = Vec::new();
    while cases.len() < letters.len() {
        let received = reader.some(10).await.unwrap();
        let read = received
            .iter()
            .map(|one| assert_is_as_it_was(&one.item, &sent));
        cases.extend(read);
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    cases.sort_unstable();
    cases.dedup();
    assert_eq!(cases.len(), letters.len());
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_without_a_key_share_a_group_that_can_be_chosen() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "keyless.fifo", 60).await;
    for (group, body) in [(None, "1"), (Some("rest"), "2")] {
        let publisher = SqsPublisher::queue(&queue.url).client(queue.client.clone());
        let publisher = match group {
            None => publisher,
            Some(group) => publisher.default_group(group),
        };
        let publisher = publisher.open().await.unwrap();
        publisher.publish_one(Outgoing::new(body)).await.unwrap();
        let mut reader = Reader::open(&queue.source()).await.unwrap();
        let received = reader.exactly(1).await;
        let record = &received[0].item;
        assert_eq!(record.group_id(), Some(group.unwrap_or("broadway")));
        assert_eq!(broadway_core::Record::key(record), None);
        reader.done(received).await;
        reader.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_the_encoding_are_requested_even_without_others() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "few", 60).await;
    let publisher = SqsPublisher::queue(&queue.url).client(queue.client.clone());
    let publisher = publisher.open().await.unwrap();
    let message = Outgoing::new(vec![0xff]).key("k").header("other", "1");
    publisher.publish_one(message).await.unwrap();
    let source = queue.source().message_attributes(Vec::<String>::new());
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(1).await;
    let record = &received[0].item;
    assert_eq!(broadway_core::Record::payload(record), [0xff]);
    assert_eq!(broadway_core::Record::key(record), Some(&b"k"[..]));
    assert_eq!(broadway_core::Record::header(record, "other"), None);
    reader.done(received).await;
    reader.close().await.unwrap();
}
