//! The source in a pipeline: all of a queue is handled, over lost connections and a drain.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use broadway_core::{Message, Pipeline, Record, handler_fn, testing::drained};
use broadway_rabbitmq::RabbitMqRecord;
use common::{Queue, broker, proxy};

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_handles_all_of_a_queue_over_lost_connections_and_drains() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "pipeline").await;
    queue.send(0..5_000).await;
    let (proxy, uri) = proxy(&address).await;
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let handled = seen.clone();
    let handler = handler_fn(move |message: &mut Message<RabbitMqRecord>| {
        let text = std::str::from_utf8(message.data().payload())?;
        let number: u64 = text.parse()?;
        // The first time everything fails that ends with 7.
        let is_new = handled.lock().unwrap().insert(number);
        if is_new && number % 1_000 == 7 {
            return Err("not now".into());
        }
        Ok(())
    });
    let source = queue
        .source()
        .uri(&uri)
        .requeue_delay(std::time::Duration::from_millis(20));
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    for part in 1..=4 {
        while seen.lock().unwrap().len() < part * 1_000 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        proxy.cut();
    }
    while seen.lock().unwrap().len() < 5_000 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    drained(&topology).await;
    topology.wait().await.unwrap();
    // What failed last, or was cut off last, is back; whoever reads on handles it.
    let left = queue.ready().await;
    assert!(left < 1_000, "{left} are left");
    queue.delete().await;
}
