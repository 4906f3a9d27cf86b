//! When batches are complete, and which messages they hold.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    BatchKey, Batching, Next, Processors, Split, Trigger,
    testing::{Collector, Recorder, assert_order_per_key, drained},
};
use tokio::sync::Semaphore;

use crate::common::{Packed, SECOND, Script, Sink, Wait, fed, long, outcomes, reason, settle_down};

/// Pushes `items` together into batches with these options, and drains. Returns the batches in the order in which they were
/// handled.
async fn batched(
    items: impl IntoIterator<Item = u64>,
    batching: fn() -> Batching<u64>,
) -> Vec<Packed<u64>> {
    let batches = Collector::new();
    let script = Script::new()
        .message(|message| {
            let n = *message.data();
            Ok(Next::batch(Sink::One, n).key(n / 100))
        })
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    feed.push_all(items);
    feed.end();
    let topology = pipeline
        .batchers(move |_| batching())
        .start()
        .await
        .unwrap();
    topology.wait().await.unwrap();
    feed.assert_settled_once();
    batches.all()
}

fn shapes(batches: &[Packed<u64>]) -> Vec<(Trigger, Vec<u64>)> {
    batches
        .iter()
        .map(|batch| (batch.trigger, batch.data.clone()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_complete_at_its_size_and_the_rest_at_the_end() {
    let batches = batched(0..7, || Batching::new(3, SECOND * 60)).await;
    let expected = [
        (Trigger::Size, vec![0, 1, 2]),
        (Trigger::Size, vec![3, 4, 5]),
        (Trigger::Drain, vec![6]),
    ];
    assert_eq!(shapes(&batches), expected);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_complete_before_its_bytes_are_exceeded() {
    let batches = batched([4, 5, 3, 99, 2], || long().bytes(10, |n| *n as usize)).await;
    let data: Vec<_> = batches
        .iter()
        .map(|batch| (batch.data.clone(), batch.bytes))
        .collect();
    // 99 is larger than the limit, and is a batch of its own.
    assert_eq!(
        data,
        [(vec![4, 5], 9), (vec![3], 3), (vec![99], 99), (vec![2], 2)]
    );
    assert!(
        batches[..3]
            .iter()
            .all(|batch| batch.trigger == Trigger::Bytes)
    );
}

#[tokio::test(start_paused = true)]
async fn messages_of_different_batch_keys_are_in_different_batches() {
    let batches = batched([1, 101, 2, 102, 201], || Batching::new(2, SECOND * 60)).await;
    let mut of: Vec<_> = batches
        .iter()
        .map(|batch| (batch.key.clone(), batch.data.clone()))
        .collect();
    of.sort_by_key(|(_, data)| data[0]);
    let key = |n: u64| BatchKey::Number(n);
    assert_eq!(
        of,
        [
            (key(0), vec![1, 2]),
            (key(1), vec![101, 102]),
            (key(2), vec![201])
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_split_function_ends_batches_and_keeps_its_state() {
    let sums = || {
        long().split(|| {
            let mut sum = 0;
            move |n: &u64| {
                sum += n;
                match sum < 10 {
                    true => Split::Continue,
                    false => {
                        sum -= 10;
                        Split::Emit
                    }
                }
            }
        })
    };
    let batches = batched([6, 7, 7, 9, 1], sums).await;
    // 13 leaves 3, which with 7 makes 10; 9 and 1 make the next.
    let expected = [
        (Trigger::Split, vec![6, 7]),
        (Trigger::Split, vec![7]),
        (Trigger::Split, vec![9, 1]),
    ];
    assert_eq!(shapes(&batches), expected);
}

#[tokio::test(start_paused = true)]
async fn each_batch_key_has_its_own_split_function() {
    let pairs = || {
        long().split(|| {
            let mut seen = 0;
            move |_: &u64| {
                seen += 1;
                if seen % 2 == 0 {
                    Split::Emit
                } else {
                    Split::Continue
                }
            }
        })
    };
    let batches = batched([1, 101, 2, 102], pairs).await;
    assert_eq!(
        shapes(&batches),
        [
            (Trigger::Split, vec![1, 2]),
            (Trigger::Split, vec![101, 102])
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_size_function_fails_that_message_alone() {
    let script = Script::batching();
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| {
        long().bytes(1_000, |n: &u64| {
            assert!(*n != 2, "cannot measure two");
            1
        })
    });
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all([1, 2, 3]);
    feed.wait_delivered(3).await;
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.failed), (2, 1));
    let outcomes = outcomes(receipts).await;
    assert_eq!(
        reason(&outcomes[1]),
        "batching panicked: cannot measure two"
    );
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_split_function_fails_that_message_alone() {
    let (pipeline, feed) = fed(Script::batching());
    let pipeline = pipeline.batchers(|_| {
        long().split(|| {
            |n: &u64| {
                assert!(*n != 2, "cannot split at two");
                Split::Continue
            }
        })
    });
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all([1, 2, 3]);
    feed.wait_delivered(3).await;
    let totals = drained(&topology).await;
    assert_eq!((totals.done, totals.failed), (2, 1));
    assert!(outcomes(receipts).await[1].is_failed());
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_batch_is_sent_at_its_timeout() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let topology = pipeline
        .batchers(|_| Batching::new(3, SECOND))
        .start()
        .await
        .unwrap();
    feed.push_all(0..5);
    let began = tokio::time::Instant::now();
    let seen = batches.wait_len(2).await;
    assert_eq!(
        shapes(&seen),
        [
            (Trigger::Size, vec![0, 1, 2]),
            (Trigger::Timeout, vec![3, 4])
        ]
    );
    assert_eq!(began.elapsed().as_secs(), 1);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_batch_counts_from_its_first_message() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let topology = pipeline
        .batchers(|_| Batching::new(100, SECOND))
        .start()
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    for n in 0..9_u64 {
        feed.push(n);
        settle_down().await;
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(batches.is_empty());
    batches.wait_len(1).await;
    assert!(
        began.elapsed() <= Duration::from_millis(1_001),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(batches.all()[0].data.len(), 9);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn the_timeout_of_a_sent_batch_does_not_end_the_next_one() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching().batches_to(&batches));
    let topology = pipeline
        .batchers(|_| Batching::new(2, SECOND))
        .start()
        .await
        .unwrap();
    feed.push(0);
    settle_down().await;
    tokio::time::advance(Duration::from_millis(900)).await;
    // Completes the first batch by its size, and opens the second, 100 ms before the timeout of the first.
    feed.push_all([1, 2]);
    batches.wait_len(1).await;
    let began = tokio::time::Instant::now();
    let seen = batches.wait_len(2).await;
    assert_eq!(
        shapes(&seen),
        [(Trigger::Size, vec![0, 1]), (Trigger::Timeout, vec![2])]
    );
    assert_eq!(began.elapsed().as_millis() / 10, 100);
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn the_timer_works_after_a_batch_that_left_nothing_open() {
    let (pipeline, feed) = fed(Script::<u64>::batching());
    let pipeline = pipeline.batchers(|_| {
        Batching::new(10, SECOND)
            .split(|| |n: &u64| if *n < 6 { Split::Emit } else { Split::Continue })
    });
    let topology = pipeline.start().await.unwrap();
    // The first batch is complete at once and needs no timer; the second needs one.
    outcomes(feed.push_all([0, 1, 2, 3, 4, 5])).await;
    assert!(outcomes([feed.push(6)]).await[0].is_done());
    drained(&topology).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_sends_the_batch_of_its_key_without_waiting() {
    let batches = Collector::new();
    let script = Script::new()
        .message(|message| {
            let n = *message.data();
            let next = Next::batch(Sink::One, n).key(n / 100);
            Ok(if n == 2 { next.flush() } else { next })
        })
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    let topology = pipeline.start().await.unwrap();
    feed.push_all([1, 101]);
    feed.push(2);
    let seen = batches.wait_len(1).await;
    assert_eq!(shapes(&seen), [(Trigger::Flush, vec![1, 2])]);
    drained(&topology).await;
    assert_eq!(
        batches.all()[1].trigger,
        Trigger::Drain,
        "the other key stays until the end"
    );
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_open_keys_the_oldest_batch_is_sent() {
    let batches = batched([1, 101, 201, 301], || long().open_max(2)).await;
    let expected = [
        (Trigger::Limit, vec![1]),
        (Trigger::Limit, vec![101]),
        (Trigger::Drain, vec![201]),
        (Trigger::Drain, vec![301]),
    ];
    assert_eq!(shapes(&batches), expected);
}

#[tokio::test(start_paused = true)]
async fn at_the_limit_of_waiting_messages_the_oldest_batch_is_sent() {
    let batches = batched([1, 2, 101, 102, 103], || {
        Batching::new(4, SECOND * 60).buffered_max(4)
    })
    .await;
    assert_eq!(shapes(&batches)[0], (Trigger::Limit, vec![1, 2]));
    assert_eq!(batches.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn batchers_have_options_of_their_own() {
    let batches = Collector::new();
    let script = Script::new()
        .message(|message| {
            let n = *message.data();
            Ok(Next::batch(
                if n % 2 == 0 { Sink::One } else { Sink::Two },
                n,
            ))
        })
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    let topology = pipeline.batchers(|sink| match sink {
        Sink::One => Batching::new(2, SECOND * 60),
        Sink::Two => Batching::new(3, SECOND * 60),
    });
    feed.push_all(0..12);
    feed.end();
    topology.start().await.unwrap().wait().await.unwrap();
    let (one, two): (Vec<_>, Vec<_>) = batches
        .all()
        .into_iter()
        .partition(|batch| batch.sink == Sink::One);
    assert!(
        one.iter()
            .all(|batch| batch.data.len() == 2 && batch.data[0] % 2 == 0),
        "{one:?}"
    );
    assert!(
        two.iter()
            .all(|batch| batch.data.len() == 3 && batch.data[0] % 2 == 1),
        "{two:?}"
    );
    assert_eq!((one.len(), two.len()), (3, 2));
    assert_order_per_key(
        one.iter()
            .flat_map(|batch| batch.data.iter().map(|n| ("one", n))),
    );
}

#[tokio::test(start_paused = true)]
async fn due_batches_stay_open_while_no_batch_processor_is_free() {
    let gate = Arc::new(Semaphore::new(0));
    let (batches, recorder) = (Collector::new(), Recorder::new());
    let script = Script::new()
        .message(|message| {
            let n: u64 = *message.data();
            Ok(Next::batch(Sink::One, n).key(n))
        })
        .batch_wait({
            let gate = Arc::clone(&gate);
            move |_| Wait::Permit(Arc::clone(&gate))
        })
        .batches_to(&batches);
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .batchers(|_| Batching::new(10, SECOND))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    feed.push_all([1, 2, 3]);
    // The only batch processor hangs in the first batch. The other batches are due, and grow until it takes them.
    recorder.wait_count("batch_ready", 1).await;
    tokio::time::sleep(SECOND * 60).await;
    feed.push_all([2, 3]);
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(recorder.count("batch_ready"), 1);
    gate.add_permits(3);
    let data: Vec<_> = batches
        .wait_len(3)
        .await
        .into_iter()
        .map(|batch| batch.data)
        .collect();
    assert_eq!(data, [vec![1], vec![2, 2], vec![3, 3]]);
    let ready = recorder.of("batch_ready");
    assert!(
        ready
            .iter()
            .all(|ready| ready.get("trigger") == Some("timeout"))
    );
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_batch_keeps_the_order_in_which_messages_were_routed() {
    let batches = batched(0..90, || Batching::new(1_000, SECOND * 60)).await;
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].data, (0..90).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn many_processors_fill_one_batcher_without_loss() {
    let batches = Collector::new();
    let (pipeline, feed) = fed(Script::batching()
        .wait(|n| if n % 7 == 0 { Wait::Yield } else { Wait::No })
        .batches_to(&batches));
    let pipeline = pipeline
        .processors(Processors::new(5).max_demand(7))
        .batchers(|_| Batching::new(9, SECOND * 60).concurrency(3));
    feed.push_all(0..500);
    feed.end();
    pipeline.start().await.unwrap().wait().await.unwrap();
    let mut all: Vec<_> = batches
        .all()
        .into_iter()
        .flat_map(|batch| batch.data)
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..500).collect::<Vec<_>>());
    feed.assert_settled_once();
}
