//! A whole pipeline on a subscription with ordering keys.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    Message, Pipeline, Processors, Record, handler_fn,
    testing::{Collector, assert_order_per_key},
};
use broadway_pubsub::{OnFailure, PubSubRecord};

use crate::common::{Fixture, PATIENCE, keyed};

fn key_of(message: &Message<PubSubRecord>) -> Option<Vec<u8>> {
    message.data().key().map(<[u8]>::to_vec)
}

fn number_of(message: &Message<PubSubRecord>) -> u64 {
    let payload = message.data().payload();
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_a_key_is_kept_and_every_message_is_acknowledged() {
    let Some(fixture) = Fixture::ordered("keys").await else {
        return;
    };
    let handled = Collector::new();
    let seen = handled.clone();
    let handler = handler_fn(move |message: &mut Message<PubSubRecord>| {
        seen.push((key_of(message), number_of(message)));
        Ok(())
    });
    let topology = Pipeline::new(fixture.source(), handler)
        .processors(Processors::new(4).partition_by(key_of))
        .start()
        .await
        .unwrap();
    let message = |n: u64| keyed(&format!("key-{}", n % 10), n);
    fixture.publish((0..100).map(message)).await;
    tokio::time::timeout(PATIENCE, handled.wait_len(100))
        .await
        .unwrap();
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.done, totals.failed), (100, 0));
    assert_order_per_key(handled.all());
    assert_eq!(fixture.rest().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_message_is_delivered_again_until_it_succeeds() {
    let Some(fixture) = Fixture::new("again").await else {
        return;
    };
    let failed = Arc::new(Mutex::new(HashSet::new()));
    let handled = Collector::new();
    let seen = handled.clone();
    let handler = handler_fn(move |message: &mut Message<PubSubRecord>| {
        let number = number_of(message);
        if number.is_multiple_of(5) && failed.lock().unwrap().insert(number) {
            return Err("every fifth fails once".into());
        }
        seen.push(number);
        Ok(())
    });
    let delay = OnFailure::NackAfter(Duration::from_millis(500));
    let topology = Pipeline::new(fixture.source().on_failure(delay), handler)
        .start()
        .await
        .unwrap();
    fixture.publish_numbers(0..50).await;
    tokio::time::timeout(PATIENCE, handled.wait_len(50))
        .await
        .unwrap();
    let totals = topology.drain().await.unwrap();
    assert_eq!(totals.failed, 10);
    let unique: HashSet<u64> = handled.all().into_iter().collect();
    assert_eq!(unique, (0..50).collect());
}
