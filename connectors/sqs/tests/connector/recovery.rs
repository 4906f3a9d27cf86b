//! Broken connections, and whole pipelines: no message is lost, and few are repeated.

use std::{collections::BTreeSet, time::Duration};

use broadway_core::{
    Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Processors,
    handler_fn,
    testing::{Collector, Reader},
};
use broadway_sqs::{AckOptions, OnFailure, SqsRecord};

use crate::common::{Queue, broker, client, numbers, proxy::Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cut_connections_lose_nothing() {
    const CUTS: usize = 100;
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "cut", 2).await;
    let proxy = Proxy::start(&address, CUTS).await;
    let source = queue
        .source()
        .client(client(&format!("http://{}", proxy.address)));
    let mut reader = Reader::open(&source).await.unwrap();
    let (mut seen, mut sent) = (BTreeSet::new(), 0);
    while proxy.left() > 0 || seen.len() < usize::try_from(sent).unwrap() {
        if seen.len() == usize::try_from(sent).unwrap() {
            queue.send(sent..sent + 100).await;
            sent += 100;
        }
        let received = reader.some(50).await.unwrap();
        seen.extend(numbers(&received));
        reader.done(received).await;
    }
    reader.close().await.unwrap();
    // Answers to polls are cut off too: their messages are delivered again, and another reader deletes them.
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let emptied = queue.emptied();
    tokio::pin!(emptied);
    loop {
        tokio::select! {
            received = reader.some(10) => reader.done(received.unwrap()).await,
            () = &mut emptied => break,
        }
    }
    reader.close().await.unwrap();
    assert!(seen.into_iter().eq(0..sent));
}

/// Writes batches that take three visibility timeouts each.
struct Slow {
    written: Collector<u64>,
}

impl Handler for Slow {
    type In = SqsRecord;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<SqsRecord>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, message.data().body().parse()?))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
        tokio::time::sleep(Duration::from_secs(3)).await;
        batch.iter().for_each(|number| self.written.push(*number));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_batches_are_kept_hidden() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "batches", 1).await;
    queue.send(0..60).await;
    let written = Collector::new();
    let handler = Slow {
        written: written.clone(),
    };
    // Three batches, one after the other: the last waits for six visibility timeouts.
    let topology = Pipeline::new(queue.source(), handler)
        .processors(Processors::new(2))
        .batchers(|_| Batching::new(20, Duration::from_secs(1)))
        .start()
        .await
        .unwrap();
    written.wait_len(60).await;
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.done, totals.failed), (60, 0));
    let mut all = written.all();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..60), "each once");
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_choose_what_happens_when_it_fails() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "itself", 600).await;
    queue.send(0..4).await;
    let attempts = Collector::new();
    let counter = attempts.clone();
    let handler = handler_fn(move |message: &mut Message<SqsRecord>| {
        counter.push(());
        let options = AckOptions::new();
        match (message.data().body(), message.data().receive_count()) {
            // Deleted, so not delivered again.
            ("1", _) => message.configure_ack(options.on_failure(OnFailure::Delete)),
            // At once, until it works.
            ("2", Some(1..=2)) => {
                message.configure_ack(options.on_failure(OnFailure::VisibleAfter(Duration::ZERO)));
            }
            _ => return Ok(()),
        }
        Err("not this time".into())
    });
    let topology = Pipeline::new(queue.source(), handler)
        .start()
        .await
        .unwrap();
    attempts.wait_len(6).await;
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.done, totals.failed), (3, 3));
    assert_eq!(queue.counts().await, (0, 0));
}
