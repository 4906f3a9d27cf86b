//! The source in a pipeline: all of a queue is handled, over lost connections and a drain.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Record, handler_fn,
    testing::drained,
};
use broadway_rabbitmq::RabbitMqRecord;

use crate::common::{Queue, broker, proxy};

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
        .requeue_delay(Duration::from_millis(20));
    let topology = Pipeline::new(source, handler).start().await.unwrap();
    for part in 1..=4 {
        while seen.lock().unwrap().len() < part * 1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.cut();
    }
    while seen.lock().unwrap().len() < 5_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drained(&topology).await;
    topology.wait().await.unwrap();
    // Messages that failed or were interrupted last are in the queue again; the next run handles them.
    let left = queue.ready().await;
    assert!(left < 1_000, "{left} are left");
    queue.delete().await;
}

/// Batches all messages, and records the sizes of the batches.
struct Sizes(tokio::sync::mpsc::UnboundedSender<usize>);

impl Handler for Sizes {
    type In = RabbitMqRecord;
    type Out = ();
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        _message: &mut Message<RabbitMqRecord>,
    ) -> Result<Next<(), OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, ()))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<()>) -> Result<(), BoxError> {
        Ok(self.0.send(batch.len())?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_larger_than_the_usual_window_fills_and_does_not_wait_for_its_timeout() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "large-batch").await;
    let size = 1_800;
    queue.send(0..size).await;
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let hour = Duration::from_secs(3_600);
    let size = usize::try_from(size).unwrap();
    let batching = || Batching::new(size, hour);
    let topology = Pipeline::new(queue.source(), Sizes(said))
        .batchers(|_| batching())
        .start()
        .await
        .unwrap();
    let first = tokio::time::timeout(Duration::from_secs(60), heard.recv()).await;
    assert_eq!(first.expect("it fills"), Some(size));
    drained(&topology).await;
    topology.wait().await.unwrap();
    assert_eq!(queue.ready().await, 0);

    // A window that is too small for it is a problem before anything is read.
    let (said, _heard) = tokio::sync::mpsc::unbounded_channel();
    let started = Pipeline::new(queue.source().prefetch(1_000), Sizes(said))
        .batchers(|_| batching())
        .start()
        .await;
    let said = started.unwrap_err().to_string();
    for word in ["prefetch", "1000", "1800"] {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    queue.delete().await;
}
