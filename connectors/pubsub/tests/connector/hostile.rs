//! Messages that Pub/Sub does not accept unchanged: they arrive, and are read as they were published.

use broadway_core::Publisher;
use broadway_pubsub::PubSubPublisher;

use crate::common::{
    Fixture,
    hostile::{assert_all_came, assert_is_as_it_was, messages},
};

async fn publish_and_read(fixture: Option<Fixture>) {
    let Some(fixture) = fixture else { return };
    let publisher = PubSubPublisher::topic(&fixture.topic).endpoint(&fixture.endpoint);
    let publisher = publisher.open().await.unwrap();
    let sent = messages();
    let results = publisher.publish(sent.clone()).await;
    for (result, message) in results.into_iter().zip(&sent) {
        assert!(result.is_ok(), "{result:?}: {message:?}");
    }
    publisher.close().await.unwrap();
    let mut reader = fixture.open().await;
    let mut cases = Vec::new();
    while cases.len() < sent.len() {
        let received = reader.some(100).await.unwrap();
        let read = received
            .iter()
            .map(|one| assert_is_as_it_was(&one.item, &sent));
        cases.extend(read);
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    assert_all_came(cases, &sent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_and_dead_letter_is_read_as_it_was_published() {
    publish_and_read(Fixture::new("hostile").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_arrives_in_the_order_of_its_key() {
    publish_and_read(Fixture::ordered("hostile").await).await;
}
