//! FIFO queues: no message is deleted before an earlier one of its group that is unsettled or failed.

use std::{collections::BTreeMap, time::Duration};

use broadway_core::{
    Acknowledger, BoxError, Handler, Message, Next, NoBatcher, Outcome, Pipeline, Processors,
    RunError, handler_fn,
    testing::{Collector, Reader, Received},
};
use broadway_sqs::{OnFailure, SqsProducer, SqsRecord};

use crate::common::{Queue, broker, number, numbers};

fn one_group(_: u64) -> Option<String> {
    Some("g".to_owned())
}

/// Message `number` of a single group, out of what was received.
fn pick(received: &mut Vec<Received<SqsProducer>>, wanted: u64) -> Received<SqsProducer> {
    let index = received.iter().position(|other| number(other) == wanted);
    received.remove(index.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_a_fifo_queue_stay_in_order() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "order.fifo", 30).await;
    queue
        .send_to_groups(0..200, |number| Some(format!("group-{}", number % 7)))
        .await;
    let seen: Collector<(String, u64)> = Collector::new();
    let handled = seen.clone();
    let handler = handler_fn(move |message: &mut Message<SqsRecord>| {
        let record = message.data();
        let group = record.group_id().unwrap_or_default().to_owned();
        handled.push((group, record.body().parse()?));
        Ok(())
    });
    let processors = Processors::new(4).by_record_key();
    let topology = Pipeline::new(queue.source(), handler)
        .processors(processors)
        .start()
        .await
        .unwrap();
    let mut n = 0;
    seen.wait_for(|_| {
        n += 1;
        n == 200
    })
    .await;
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.done, totals.failed), (200, 0));
    let mut of_group: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (group, number) in seen.all() {
        of_group.entry(group).or_default().push(number);
    }
    assert_eq!(of_group.len(), 7);
    for (group, numbers) in of_group {
        assert!(numbers.is_sorted(), "{group}: {numbers:?}");
    }
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_head_is_delivered_again_before_its_successors() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "head.fifo", 2).await;
    queue.send_to_groups(0..5, one_group).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(5).await;
    assert_eq!(numbers(&received), [0, 1, 2, 3, 4]);
    let done = pick(&mut received, 0);
    let failed = pick(&mut received, 1);
    // 2 was handled before 1 failed; 3 and 4 are waiting.
    let hasty = pick(&mut received, 2);
    reader.done([done, hasty]).await;
    reader.failed([failed]).await;
    let acknowledger = reader.acknowledger();
    assert!(
        received
            .iter()
            .all(|other| acknowledger.is_stale(&other.token))
    );
    reader.settle(&Outcome::Released, received).await.unwrap();
    let again = reader.exactly(4).await;
    assert_eq!(numbers(&again), [1, 2, 3, 4]);
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_success_after_a_failed_head_is_not_deleted() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "late.fifo", 1).await;
    queue.send_to_groups(0..2, one_group).await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(2).await;
    let in_work = received.pop().unwrap();
    reader.failed(received).await;
    reader.done([in_work]).await;
    let again = reader.exactly(2).await;
    assert_eq!(numbers(&again), [0, 1]);
    reader.done(again).await;
    reader.close().await.unwrap();
    assert_eq!(queue.counts().await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_group_does_not_hold_up_others() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "others.fifo", 30).await;
    queue
        .send_to_groups(0..4, |number| Some(format!("group-{}", number % 2)))
        .await;
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let mut received = reader.exactly(4).await;
    let failed = pick(&mut received, 0);
    reader.failed([failed]).await;
    reader.done(received).await;
    queue
        .send_to_groups(5..6, |_| Some("group-1".to_owned()))
        .await;
    let next = reader.exactly(1).await;
    assert_eq!(numbers(&next), [5]);
    reader.done(next).await;
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_success_overtakes_a_failure_of_its_group() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "random.fifo", 30).await;
    queue
        .send_to_groups(0..150, |number| Some(format!("group-{}", number % 5)))
        .await;
    let succeeded: Collector<u64> = Collector::new();
    let successes = succeeded.clone();
    let handler = handler_fn(move |message: &mut Message<SqsRecord>| {
        let record = message.data();
        let number: u64 = record.body().parse()?;
        // Some fail at first, and some of these a second time; the hash is that of no order.
        let fails = (number * 7_919 % 11).saturating_sub(8);
        if u64::from(record.receive_count().unwrap_or(1)) <= fails {
            return Err("not yet".into());
        }
        successes.push(number);
        Ok(())
    });
    let source = queue
        .source()
        .on_failure(OnFailure::VisibleAfter(Duration::ZERO));
    // Single messages: in a chunk, those after a failed one would be handled too, and then again after it.
    let processors = Processors::new(4).max_demand(1).by_record_key();
    let topology = Pipeline::new(source, handler)
        .processors(processors)
        .start()
        .await
        .unwrap();
    succeeded.wait_len(150).await;
    let totals = topology.drain().await.unwrap();
    assert!(totals.failed > 10, "{totals:?}");
    assert_eq!(queue.counts().await, (0, 0));
    for group in 0..5 {
        let mut numbers = succeeded.all();
        numbers.retain(|number| number % 5 == group);
        let expected: Vec<u64> = (0..150).filter(|number| number % 5 == group).collect();
        assert_eq!(numbers, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abort_counts_successes_behind_an_unsettled_message() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "abort.fifo", 30).await;
    queue.send_to_groups(0..10, one_group).await;
    let seen = Collector::new();
    let topology = Pipeline::new(queue.source(), StuckAtTheFirst(seen.clone()))
        .processors(Processors::new(4))
        .start()
        .await
        .unwrap();
    seen.wait_len(10).await;
    let ended = topology.abort().await;
    assert!(
        matches!(ended, Err(RunError::Aborted { unsettled: 10 })),
        "{ended:?}"
    );
    // They are back at once.
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let came = reader.exactly(10).await;
    reader.done(came).await;
    reader.close().await.unwrap();
}

struct StuckAtTheFirst(Collector<u64>);

impl Handler for StuckAtTheFirst {
    type In = SqsRecord;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<SqsRecord>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let number: u64 = message.data().body().parse()?;
        self.0.push(number);
        if number == 0 {
            std::future::pending().await
        }
        Ok(Next::Ack)
    }
}
