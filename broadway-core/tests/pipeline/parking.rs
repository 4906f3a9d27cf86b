//! Retries that wait at their source: which ones, what they keep, and what they hold back.

use std::time::Duration;

use broadway_core::{
    BoxError, ClassifiedError, Message, Next, NoAckOptions, Outcome, Pipeline, Processors, Record,
    Retry, postpone,
    source::SourceExt,
    testing::{Collector, MemoryQueue, QueueEnd, Recorder},
};
use tokio::time::Instant;

use crate::common::{SECOND, Script, Sink, fed, is_done, long, outcomes, settle_down};

const MINUTE: Duration = Duration::from_secs(60);

/// A key and a number.
#[derive(Debug, Clone)]
struct Letter {
    key: Option<&'static str>,
    number: u64,
}

impl Record for Letter {
    type AckOptions = NoAckOptions;

    fn payload(&self) -> &[u8] {
        b"dear reader"
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.map(str::as_bytes)
    }
}

fn letter(number: u64) -> impl Fn(u32) -> Letter + Send + Sync + 'static {
    move |_| Letter { key: None, number }
}

/// A queue with these messages, and no more.
fn queue_of(numbers: impl IntoIterator<Item = u64>) -> MemoryQueue<Letter> {
    let queue = MemoryQueue::new();
    for number in numbers {
        queue.publish(letter(number));
    }
    queue.end();
    queue
}

/// Fails the first `times` calls.
fn fails_first(
    times: usize,
) -> impl Fn(&mut Message<Letter>) -> Result<Next<Letter, Sink>, BoxError> + Send + Sync + 'static {
    let calls = Collector::new();
    move |message| {
        calls.push(message.data().number);
        match calls.len() <= times {
            true => Err("busy".into()),
            false => Ok(Next::Ack),
        }
    }
}

/// With which pause and how many attempts each delivery of this message was parked; `None` for other ends.
fn parkings(queue: &MemoryQueue<Letter>, number: usize) -> Vec<Option<(Duration, u32)>> {
    let outcomes = queue.outcomes_of(number).into_iter();
    let parkings = outcomes.map(|outcome| match outcome {
        Outcome::Parked { pause, attempts } => Some((pause, attempts)),
        _ => None,
    });
    parkings.collect()
}

#[tokio::test(start_paused = true)]
async fn a_long_retry_is_parked_at_its_source() {
    let queue = queue_of([7]);
    let recorder = Recorder::new();
    let topology = Pipeline::new(queue.source(), Script::new().message(fails_first(1)))
        .observe(recorder.clone())
        .on_failure(Retry::fixed(MINUTE).park_after(MINUTE))
        .start()
        .await
        .unwrap();
    let started = Instant::now();
    settle_down().await;
    let totals = topology.totals();
    assert_eq!((totals.delayed, totals.in_flight()), (1, 0));
    assert_eq!(queue.left(), [0]);
    let totals = topology.wait().await.unwrap();
    assert!(started.elapsed() >= MINUTE);
    assert_eq!(
        (totals.received, totals.delayed, totals.done, totals.failed),
        (2, 1, 1, 0)
    );
    assert_eq!(parkings(&queue, 0), [Some((MINUTE, 1)), None]);
    let scheduled = recorder.of("retry_scheduled");
    assert_eq!((scheduled.len(), scheduled[0].number("attempt")), (1, 1));
    queue.feed().assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_short_retry_waits_in_memory() {
    let queue = queue_of([7]);
    let retry = Retry::fixed(MINUTE - SECOND).park_after(MINUTE);
    let topology = Pipeline::new(queue.source(), Script::new().message(fails_first(2)))
        .on_failure(retry)
        .start()
        .await
        .unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!((totals.received, totals.delayed, totals.done), (1, 0, 1));
    assert_eq!(parkings(&queue, 0), [None]);
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_counts_its_earlier_attempts() {
    let (seen, failed) = (Collector::new(), Collector::new());
    let script = |fails: bool| {
        let (seen, failed) = (seen.clone(), failed.clone());
        Script::new()
            .message(move |message: &mut Message<Letter>| {
                seen.push(message.attempt());
                // The second pause of each pipeline passes in memory.
                let pause = match message.attempt() {
                    1 => MINUTE,
                    _ => SECOND,
                };
                let error = ClassifiedError::transient("busy").retry_after(pause);
                match fails {
                    true => Err(error.into()),
                    false => Ok(Next::Ack),
                }
            })
            .failed(move |all| failed.push(all[0].attempts()))
    };
    // One delivery that counts: the parked ones do not.
    let queue = MemoryQueue::new().deliveries_max(1);
    queue.publish(letter(7));
    queue.end();
    let retry = Retry::fixed(SECOND).attempts(5).park_after(MINUTE);
    let pipeline = || {
        // Through an erased source, which passes on the attempts.
        Pipeline::new(queue.source().boxed(), script(true)).on_failure(retry.clone().then_reject())
    };
    let first = pipeline().start().await.unwrap();
    settle_down().await;
    first.drain().await.unwrap();
    assert_eq!(parkings(&queue, 0), [Some((MINUTE, 1))]);
    // Another process, as it were.
    let recorder = Recorder::new();
    let second = pipeline().observe(recorder.clone()).start().await.unwrap();
    second.wait().await.unwrap();
    assert_eq!(queue.end_of(0), Some(QueueEnd::GivenUp));
    // Each delivery begins with 1.
    assert_eq!(seen.all(), [1; 5]);
    assert_eq!(failed.all(), [5]);
    let attempts = [1, 2, 3, 4].map(|attempts| Some((MINUTE, attempts)));
    assert_eq!(parkings(&queue, 0)[..4], attempts);
    let scheduled = recorder.of("retry_scheduled");
    let scheduled: Vec<_> = scheduled
        .iter()
        .map(|event| event.number("attempt"))
        .collect();
    assert_eq!(scheduled, [2, 3, 4]);
    queue.feed().assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn the_attempt_of_a_message_includes_earlier_ones_once_it_has_failed() {
    let seen = Collector::new();
    let script = Script::new().message({
        let seen = seen.clone();
        move |message: &mut Message<Letter>| {
            seen.push(message.attempt());
            // The third one passes in memory.
            let pause = match seen.len() {
                3 => SECOND,
                _ => MINUTE,
            };
            Err(ClassifiedError::transient("busy").retry_after(pause).into())
        }
    });
    let queue = MemoryQueue::new().deliveries_max(1);
    queue.publish(letter(7));
    queue.end();
    let retry = Retry::fixed(SECOND).attempts(6).park_after(MINUTE);
    let pipeline = Pipeline::new(queue.source(), script).on_failure(retry.then_reject());
    pipeline.start().await.unwrap().wait().await.unwrap();
    assert_eq!(seen.all(), [1, 1, 1, 4, 1, 1]);
    let attempts = [1, 2, 4, 5].map(|attempts| Some((MINUTE, attempts)));
    assert_eq!(parkings(&queue, 0)[..4], attempts);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_park_keeps_retries_in_memory() {
    let retry = || Retry::fixed(MINUTE).park_after(Duration::ZERO);
    let (pipeline, feed) = fed(Script::new().message(fails_first(2)));
    let topology = pipeline.on_failure(retry()).start().await.unwrap();
    let receipt = feed.push(Letter {
        key: None,
        number: 7,
    });
    assert!(is_done(&outcomes([receipt]).await[0]));
    // A pushed message has no source, and a part of a split one cannot be parked.
    let receipts = topology
        .push([Letter {
            key: None,
            number: 8,
        }])
        .await;
    assert!(is_done(&outcomes(receipts.unwrap()).await[0]));
    let totals = topology.drain().await.unwrap();
    assert_eq!((totals.received, totals.done, totals.delayed), (2, 2, 0));

    let queue = queue_of([7]);
    let parts = queue.source().split(|letter| [letter.clone(), letter]);
    let script = Script::new().message(fails_first(2));
    let topology = Pipeline::new(parts, script).on_failure(retry());
    let totals = topology.start().await.unwrap().wait().await.unwrap();
    assert_eq!((totals.received, totals.done, totals.delayed), (2, 2, 0));
    assert_eq!(parkings(&queue, 0), [None]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_parked_when_all_its_messages_can_be() {
    let (seen, failed) = (Collector::new(), Collector::new());
    let script = Script::new()
        .message(|message: &mut Message<Letter>| Ok(Next::batch(Sink::One, message.data().clone())))
        .batch({
            let seen = seen.clone();
            move |_, batch| {
                seen.push((batch.data().len(), batch.attempt()));
                Err("busy".into())
            }
        })
        .failed({
            let failed = failed.clone();
            move |all| all.iter().for_each(|one| failed.push(one.attempts()))
        });
    let queue = MemoryQueue::new().deliveries_max(1);
    for number in 0..3 {
        queue.publish(letter(number));
    }
    let retry = Retry::fixed(MINUTE).attempts(3).park_after(MINUTE);
    let topology = Pipeline::new(queue.source(), script)
        .batchers(|_| long().on_failure(retry.clone().then_reject()))
        .start()
        .await
        .unwrap();
    settle_down().await;
    topology.flush();
    settle_down().await;
    assert_eq!(seen.all(), [(3, 1)]);
    assert_eq!(topology.totals().delayed, 3);
    // Of the next batch one message was pushed: it stays, and is handled again as a whole.
    let receipts = topology
        .push([Letter {
            key: None,
            number: 9,
        }])
        .await
        .unwrap();
    tokio::time::sleep(MINUTE + SECOND).await;
    topology.flush();
    tokio::time::sleep(MINUTE + SECOND).await;
    tokio::time::sleep(MINUTE + SECOND).await;
    // The parked ones have had three attempts after the second one here, and the pushed one goes on alone.
    assert_eq!(seen.all(), [(3, 1), (4, 1), (4, 2), (1, 3)]);
    for number in 0..3 {
        assert_eq!(parkings(&queue, number), [Some((MINUTE, 1)), None]);
    }
    assert_eq!(failed.all(), [3; 4]);
    assert!(outcomes(receipts).await[0].is_failed());
    topology.drain().await.unwrap();
    queue.feed().assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_postponed_message_is_parked_without_counting() {
    let script = Script::new().message({
        let calls = Collector::new();
        move |message: &mut Message<Letter>| {
            calls.push(message.attempt());
            match calls.len() {
                // The third one is not long enough.
                3 => Err(postpone(SECOND)),
                1 | 2 | 5 => Err(postpone(MINUTE)),
                4 => Err("busy".into()),
                _ => Ok(Next::Ack),
            }
        }
    });
    let queue = queue_of([7]);
    let retry = Retry::fixed(MINUTE).attempts(2).park_after(MINUTE);
    let topology = Pipeline::new(queue.source(), script).on_failure(retry);
    let totals = topology.start().await.unwrap().wait().await.unwrap();
    assert_eq!((totals.done, totals.delayed), (1, 4));
    let attempts = [0, 0, 1, 1].map(|attempts| Some((MINUTE, attempts)));
    assert_eq!(parkings(&queue, 0), [&attempts[..], &[None]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_is_overtaken_within_its_key_unless_the_queue_keeps_the_order() {
    let processors = [
        || Processors::new(1).by_record_key(),
        || Processors::new(1).max_demand(1).by_record_key(),
        || Processors::new(1).in_flight(10).by_record_key(),
    ];
    for processors in processors {
        for (is_ordered, expected) in [(false, [1, 2, 0]), (true, [0, 1, 2])] {
            let queue = match is_ordered {
                true => MemoryQueue::new().ordered(),
                false => MemoryQueue::new(),
            };
            for number in 0..3 {
                let key = Some("a");
                queue.publish(move |_: u32| Letter { key, number });
            }
            queue.end();
            let seen = Collector::new();
            let script = Script::new().message({
                let (seen, fail) = (seen.clone(), fails_first(1));
                move |message| {
                    let next = fail(message)?;
                    seen.push(message.data().number);
                    Ok(next)
                }
            });
            let topology = Pipeline::new(queue.source(), script)
                .processors(processors())
                .on_failure(Retry::fixed(MINUTE).park_after(Duration::ZERO))
                .start()
                .await
                .unwrap();
            // A key that stays blocked fails the test.
            let ended = tokio::time::timeout(60 * MINUTE, topology.wait()).await;
            ended.unwrap().unwrap();
            assert_eq!(seen.all(), expected, "ordered: {is_ordered}");
            assert_eq!(parkings(&queue, 0), [Some((MINUTE, 1)), None]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_parked_messages_and_parked_ones_take_no_room() {
    let queue = queue_of(0..50);
    let script = Script::new().message(fails_first(50));
    let topology = Pipeline::new(queue.source(), script)
        .waiting_max(1)
        .on_failure(Retry::fixed(60 * MINUTE).park_after(MINUTE))
        .start()
        .await
        .unwrap();
    let started = Instant::now();
    settle_down().await;
    let totals = topology.drain().await.unwrap();
    assert!(started.elapsed() < SECOND);
    assert_eq!((totals.delayed, totals.released), (50, 0));
    // After a restart.
    let topology = Pipeline::new(queue.source(), Script::new()).start().await;
    assert_eq!(topology.unwrap().wait().await.unwrap().done, 50);
    assert!(started.elapsed() >= 60 * MINUTE);
}
