//! Processors and batch processors come and go while the pipeline runs: nothing is lost, and keys keep their order.

use std::time::Duration;

use broadway_core::{
    Batching, Message, Next, Processors, RunError,
    testing::{Collector, Recorder, assert_order_per_key, drained},
};

use crate::{
    common::{SECOND, Script, Sink, Wait, fed, outcomes, settle_down},
    random::Dice,
};

const MS: Duration = Duration::from_millis(1);

/// A key, and a number that rises with each message of the key.
type Keyed = (u64, u64);

fn keyed(keys: u64, each: u64) -> Vec<Keyed> {
    (0..each)
        .flat_map(|n| (0..keys).map(move |key| (key, n)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn as_many_handlers_run_at_once_as_there_are_processors_now() {
    let running = Collector::new();
    let script = Script::<u64>::new()
        .wait({
            let running = running.clone();
            move |n| {
                running.push(*n);
                Wait::For(SECOND)
            }
        })
        .message(|_| Ok(Next::Ack));
    let (pipeline, feed) = fed(script);
    let recorder = Recorder::new();
    let topology = pipeline.observe(recorder.clone()).start().await.unwrap();
    let receipts = feed.push_all(0..40);
    settle_down().await;
    let mut begun = 0;
    let mut expected = Vec::new();
    for processors in [1, 4, 4, 2, 9, 1] {
        topology.set_processors(processors).unwrap();
        assert_eq!(topology.describe().processors, processors);
        tokio::time::sleep(SECOND).await;
        settle_down().await;
        let now = running.len();
        expected.push(now - begun);
        begun = now;
    }
    // In each second as many begin as there are processors; in the first one, one had begun before.
    assert_eq!(expected, [2, 7, 4, 2, 16, 1], "{:?}", running.all());
    topology.set_processors(40).unwrap();
    outcomes(receipts).await;
    let resized: Vec<_> = recorder
        .of("resized")
        .iter()
        .map(|event| (event.number("from"), event.number("to")))
        .collect();
    assert_eq!(resized, [(1, 4), (4, 2), (2, 9), (9, 1), (1, 40)]);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn as_many_batches_are_handled_at_once_as_there_are_batch_processors_now() {
    let running = Collector::new();
    let script = Script::<u64>::batching().batch_wait({
        let running = running.clone();
        move |n| {
            running.push(*n);
            Wait::For(SECOND)
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.batchers(|_| Batching::new(1, SECOND));
    let topology = pipeline.start().await.unwrap();
    let receipts = feed.push_all(0..60);
    settle_down().await;
    let one = topology.batcher("one").unwrap();
    let (mut begun, mut counts) = (running.len(), Vec::new());
    for concurrency in [3, 1, 5] {
        one.set_concurrency(concurrency).unwrap();
        // Those that are wanted no more finish their batches first.
        tokio::time::sleep(SECOND + MS).await;
        settle_down().await;
        begun = running.len().max(begun);
        tokio::time::sleep(3 * SECOND).await;
        settle_down().await;
        counts.push(running.len() - begun);
        begun = running.len();
    }
    assert_eq!(counts, [9, 3, 15]);
    one.set_concurrency(60).unwrap();
    outcomes(receipts).await;
    assert_eq!(one.describe().concurrency, 60);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_due_goes_to_a_new_batch_processor() {
    let batches = Collector::new();
    let script = Script::<u64>::batching()
        .batches_to(&batches)
        .batch_wait(|n| if *n == 0 { Wait::Ever } else { Wait::No });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline
        .batchers(|_| Batching::new(10, SECOND))
        .drain_timeout(SECOND);
    let topology = pipeline.start().await.unwrap();
    feed.push(0);
    tokio::time::sleep(2 * SECOND).await;
    feed.push(1);
    tokio::time::sleep(2 * SECOND).await;
    assert!(batches.is_empty(), "the only batch processor hangs");
    topology.batcher("one").unwrap().set_concurrency(2).unwrap();
    batches.wait_len(1).await;
    let _hangs = topology.drain().await;
}

#[tokio::test(start_paused = true)]
async fn idle_processors_leave_at_once_and_the_last_one_works_on() {
    let handled = Collector::new();
    let script = Script::<u64>::new().message({
        let handled = handled.clone();
        move |message| {
            handled.push(*message.data());
            Ok(Next::Ack)
        }
    });
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.processors(Processors::new(8));
    let topology = pipeline.start().await.unwrap();
    settle_down().await;
    for round in 0..20 {
        topology.set_processors(1).unwrap();
        feed.push_all(round * 10..round * 10 + 5);
        if round % 2 == 0 {
            settle_down().await;
        }
        topology.set_processors(8).unwrap();
        feed.push_all(round * 10 + 5..round * 10 + 10);
        handled.wait_len(round as usize * 10 + 10).await;
    }
    drained(&topology).await;
    feed.assert_settled_once();
}

/// Waits for a time that depends on the message.
fn uneven(&(key, n): &Keyed) -> Wait {
    match (key * 7 + n * 13) % 7 {
        0..3 => Wait::No,
        3 => Wait::Yield,
        ms => Wait::For(MS * (ms * (key + 1)) as u32),
    }
}

#[tokio::test(start_paused = true)]
async fn a_resize_loses_and_reorders_nothing() {
    for seed in 0..30 {
        let (handled, batched) = (Collector::new(), Collector::new());
        let script = Script::<Keyed>::new()
            .wait(uneven)
            .message({
                let handled = handled.clone();
                move |message: &mut Message<Keyed>| {
                    handled.push(*message.data());
                    Ok(Next::batch(Sink::One, *message.data()).key(message.data().0 % 2))
                }
            })
            .batch_wait(uneven)
            .batch({
                let batched = batched.clone();
                move |_, batch| {
                    batch.iter().for_each(|data| batched.push(*data));
                    Ok(())
                }
            });
        let (pipeline, feed) = fed(script);
        let processors = Processors::new(3).max_demand(7);
        let pipeline = pipeline
            .processors(processors.partition_by(|message: &Message<Keyed>| message.data().0))
            .batchers(|_| Batching::new(4, 20 * MS).concurrency(2).partitions(5));
        let topology = pipeline.start().await.unwrap();
        let mut dice = Dice::new(seed);
        for piece in keyed(9, 60).chunks(13) {
            feed.push_all(piece.to_vec());
            topology
                .set_processors(1 + dice.below(12) as usize)
                .unwrap();
            let one = topology.batcher("one").unwrap();
            one.set_concurrency(1 + dice.below(8) as usize).unwrap();
            one.set_size(1 + dice.below(9) as usize).unwrap();
            one.set_timeout(MS * (1 + dice.below(40)) as u32).unwrap();
            if dice.one_in(3) {
                topology.flush();
            }
            tokio::time::sleep(MS * dice.below(30) as u32).await;
        }
        feed.end();
        topology.wait().await.unwrap();
        assert_eq!((handled.len(), batched.len()), (540, 540), "seed {seed}");
        assert_order_per_key(handled.all());
        assert_order_per_key(batched.all());
        feed.assert_settled_once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_of_a_processor_that_came_later_is_inside_its_topology() {
    let handle = std::sync::Arc::new(std::sync::OnceLock::<broadway_core::Topology<u64>>::new());
    let results = Collector::new();
    let handler = broadway_core::handler_fn_async({
        let (handle, results) = (handle.clone(), results.clone());
        async move |_: &mut Message<u64>| {
            let topology = handle.get().expect("set before the first message");
            results.push(matches!(
                topology.wait().await,
                Err(RunError::InsideHandler)
            ));
            tokio::time::sleep(SECOND).await;
            Ok(())
        }
    });
    let (pipeline, feed) = fed(handler);
    let topology = pipeline.start().await.unwrap();
    topology.set_processors(5).unwrap();
    let _ = handle.set(topology);
    outcomes(feed.push_all(0..10)).await;
    assert_eq!(results.all(), [true; 10]);
    handle.get().unwrap().drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn impossible_numbers_and_ended_topologies_are_refused() {
    let (pipeline, feed) = fed(Script::<u64>::batching());
    let topology = pipeline.start().await.unwrap();
    let one = topology.batcher("one").unwrap();
    assert_eq!(
        topology.set_processors(0).unwrap_err().to_string(),
        "processors.concurrency: is 0, but must be between 1 and 65536"
    );
    assert_eq!(
        one.set_concurrency(65_537).unwrap_err().to_string(),
        "batchers.one.concurrency: is 65537, but must be between 1 and 65536"
    );
    feed.end();
    topology.wait().await.unwrap();
    let refused = [
        topology.set_processors(7).unwrap_err().to_string(),
        one.set_concurrency(7).unwrap_err().to_string(),
    ];
    let expected = [
        "processors.concurrency: cannot be changed any more: the topology has ended",
        "batchers.one: cannot be changed any more: the topology has ended",
    ];
    assert_eq!(refused, expected);
}

#[tokio::test(start_paused = true)]
async fn processors_that_come_during_a_drain_end_with_it() {
    let script = Script::<u64>::batching()
        .wait(|_| Wait::For(SECOND))
        .batch_wait(|_| Wait::For(SECOND));
    let (pipeline, feed) = fed(script);
    let pipeline = pipeline.on_drain(broadway_core::OnDrain::Finish);
    let topology = pipeline.start().await.unwrap();
    feed.push_all(0..20);
    tokio::time::sleep(3 * SECOND).await;
    topology.begin_drain();
    topology.set_processors(10).unwrap();
    topology.batcher("one").unwrap().set_concurrency(5).unwrap();
    tokio::time::sleep(SECOND / 2).await;
    topology.set_processors(2).unwrap();
    topology.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn autoscale_grows_while_messages_wait_and_shrinks_when_none_come() {
    let script = Script::<u64>::new().wait(|_| Wait::For(SECOND));
    let (pipeline, feed) = fed(script);
    let recorder = Recorder::new();
    let pipeline = pipeline
        .processors(Processors::new(1).max_demand(10).autoscale(1..=8))
        .observe(recorder.clone());
    let topology = pipeline.start().await.unwrap();
    outcomes(feed.push_all(0..200)).await;
    assert_eq!(topology.describe().processors, 8);
    tokio::time::sleep(120 * SECOND).await;
    assert_eq!(topology.describe().processors, 1);
    let sizes: Vec<_> = recorder
        .of("resized")
        .iter()
        .map(|event| event.number("to"))
        .collect();
    assert_eq!(sizes, [2, 3, 4, 6, 8, 6, 5, 4, 3, 2, 1]);
    drained(&topology).await;
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn an_impossible_range_of_processors_is_refused() {
    for (range, expected) in [
        (0..=4, "is 0..=4, but must be a range within 1..=65536"),
        (
            5..=9,
            "is 5..=9, but the number of processors to begin with is 2",
        ),
    ] {
        let (pipeline, _feed) = fed(Script::<u64>::new());
        let processors = Processors::new(2).autoscale(range);
        let refused = pipeline.processors(processors).start().await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}
