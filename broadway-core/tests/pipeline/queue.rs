//! The test kit's queue, which behaves like a broker.

use std::time::Duration;

use broadway_core::{
    Acknowledger, Callback, DeadLetters, Message, NoAckOptions, Outcome, Pipeline, Processors,
    Record, handler_fn,
    testing::{
        Collector, Fault, MemoryQueue, QueueEnd, Reader, RecordingPublisher, assert_order_per_key,
    },
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Wait, long};

/// A text, perhaps with a key, and which delivery it is.
#[derive(Debug, Clone)]
struct Letter {
    key: Option<&'static str>,
    number: u64,
    delivery: u32,
}

impl Record for Letter {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        b"dear reader"
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.map(str::as_bytes)
    }

    fn id(&self) -> String {
        format!("letter {}", self.number)
    }
}

fn letter(
    key: Option<&'static str>,
    number: u64,
) -> impl Fn(u32) -> Letter + Send + Sync + 'static {
    move |delivery| Letter {
        key,
        number,
        delivery,
    }
}

#[tokio::test(start_paused = true)]
async fn failed_messages_are_redelivered_a_limited_number_of_times() {
    let queue = MemoryQueue::new().deliveries_max(3);
    for number in 0..3 {
        assert_eq!(queue.publish(letter(None, number)), number as usize);
    }
    queue.end();
    let seen = Collector::new();
    let handler = handler_fn({
        let seen = seen.clone();
        move |message: &mut Message<Letter>| {
            let Letter {
                number, delivery, ..
            } = *message.data();
            seen.push((number, delivery));
            match number {
                0 => Ok(()),
                1 if delivery == 2 => Ok(()),
                _ => Err(format!("not at delivery {delivery}").into()),
            }
        }
    });
    let topology = Pipeline::new(queue.source(), handler)
        .start()
        .await
        .unwrap();
    queue.wait_ended().await;
    topology.wait().await.unwrap();
    let mut seen = seen.all();
    seen.sort_unstable();
    assert_eq!(seen, [(0, 1), (1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]);
    assert_eq!(queue.acknowledged(), [0, 1]);
    assert_eq!((queue.given_up(), queue.left()), (vec![2], vec![]));
    let outcomes = queue.outcomes_of(1);
    assert!(outcomes[0].is_failed() && outcomes[1].is_done());
    queue.feed().assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_is_delivered_again_after_its_delay() {
    let queue = MemoryQueue::new().deliveries_max(2);
    queue.publish(letter(None, 7));
    queue.end();
    let mut reader = Reader::open(&queue.source()).await.unwrap();
    let received = reader.exactly(1).await;
    let delay_max = reader.acknowledger().delay_max(&received[0].token);
    assert_eq!(delay_max, Some(Duration::MAX));
    let (began, delay) = (Instant::now(), SECOND * 30);
    let delayed = Outcome::Delayed(delay);
    reader.settle(&delayed, received).await.unwrap();
    assert_eq!((queue.deliveries_of(0), queue.left()), (1, vec![0]));
    let again = reader.exactly(1).await;
    assert_eq!((again[0].item.delivery, began.elapsed()), (2, delay));
    // A delay counts as a delivery, as at brokers.
    reader.settle(&delayed, again).await.unwrap();
    assert_eq!(queue.given_up(), [0]);
    reader.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_confirmed_ends_its_message() {
    let queue = MemoryQueue::new();
    queue.publish(letter(Some("a"), 7));
    queue.end();
    let outbox = RecordingPublisher::new();
    let handler = handler_fn(|_: &mut Message<Letter>| Err("no".into()));
    let handler = DeadLetters::of(handler, outbox.clone());
    let topology = Pipeline::new(queue.source(), handler)
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(queue.end_of(0), Some(QueueEnd::Acknowledged));
    assert_eq!(queue.deliveries_of(0), 1);
    assert_eq!(outbox.sent().all()[0].origin(), Some("letter 7"));
}

#[tokio::test(start_paused = true)]
async fn an_ordered_queue_delivers_nothing_of_a_key_past_a_message_that_has_not_ended() {
    let queue = MemoryQueue::new().ordered();
    let keys = ["a", "b", "c"];
    for number in 0..60_u64 {
        queue.publish(letter(Some(keys[number as usize % 3]), number));
    }
    queue.end();
    let seen = Collector::new();
    let script = Script::new()
        .wait(|letter: &Letter| Wait::For(Duration::from_millis(letter.number % 7)))
        .message({
            let seen = seen.clone();
            move |message| {
                let letter = message.data();
                // One in five fails twice.
                if letter.number % 5 == 0 && letter.delivery < 3 {
                    return Err("again".into());
                }
                seen.push((letter.key, letter.number));
                Ok(broadway_core::Next::Ack)
            }
        });
    let topology = Pipeline::new(queue.source(), script)
        .producers(2)
        .processors(Processors::new(4))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(queue.acknowledged().len(), 60);
    assert_order_per_key(seen.all());
}

#[tokio::test(start_paused = true)]
async fn an_unordered_queue_delivers_past_a_failed_message() {
    let queue = MemoryQueue::new();
    for number in 0..3 {
        queue.publish(letter(Some("a"), number));
    }
    queue.end();
    let seen = Collector::new();
    let handler = handler_fn({
        let seen = seen.clone();
        move |message: &mut Message<Letter>| {
            let letter = message.data();
            if letter.number == 0 && letter.delivery == 1 {
                return Err("once".into());
            }
            seen.push(letter.number);
            Ok(())
        }
    });
    let topology = Pipeline::new(queue.source(), handler)
        .processors(Processors::new(1))
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(seen.all(), [1, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_redelivers_unsettled_messages() {
    let queue = MemoryQueue::new();
    queue.publish(letter(None, 0));
    queue.end();
    let faults = queue.feed().faults();
    faults.at(Callback::Settle, 0, Fault::error("the line went dead"));
    let handler = handler_fn(|_: &mut Message<Letter>| Ok(()));
    let topology = Pipeline::new(queue.source(), handler)
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    assert_eq!(queue.deliveries_of(0), 2);
    assert!(matches!(
        queue.outcomes_of(0)[..],
        [Outcome::Released, Outcome::Done]
    ));
}

#[tokio::test(start_paused = true)]
async fn messages_that_a_drain_leaves_are_still_in_the_queue() {
    let queue = MemoryQueue::new();
    queue.publish(letter(None, 0));
    let script = Script::new().wait(|_| Wait::For(SECOND));
    let topology = Pipeline::new(queue.source(), script).start().await.unwrap();
    queue.wait_ended().await;
    topology.drain().await.unwrap();
    queue.publish(letter(None, 1));
    assert_eq!((queue.acknowledged(), queue.left()), (vec![0], vec![1]));
    // Another pipeline reads on.
    let script = Script::new();
    let topology = Pipeline::new(queue.source(), script).start().await.unwrap();
    queue.wait_ended().await;
    topology.drain().await.unwrap();
    assert_eq!(queue.acknowledged(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_an_aborted_pipeline_left_unsettled_is_delivered_again() {
    let queue = MemoryQueue::new();
    for number in 0..4 {
        queue.publish(letter(None, number));
    }
    let hangs = Script::new().wait(|letter: &Letter| match letter.number {
        0 => Wait::No,
        _ => Wait::Ever,
    });
    let processors = Processors::new(1).max_demand(2);
    let pipeline = Pipeline::new(queue.source(), hangs)
        .processors(processors)
        .batchers(|_| long());
    let topology = pipeline.start().await.unwrap();
    tokio::time::sleep(SECOND).await;
    let _ = topology.abort().await;
    let delivered = queue.feed().delivered();
    assert_eq!(queue.redeliver_unsettled(), delivered - 1);
    assert_eq!(queue.redeliver_unsettled(), 0);
    queue.end();
    let pipeline = Pipeline::new(queue.source(), Script::new()).batchers(|_| long());
    pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(queue.acknowledged(), [0, 1, 2, 3]);
    assert_eq!((queue.deliveries_of(0), queue.deliveries_of(1)), (1, 2));
}
