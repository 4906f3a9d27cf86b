//! Streams, iterators and channels as stages, and stages as streams.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context as Task, Poll},
};

use broadway_core::{
    Message, Pipeline, handler_fn,
    stage::{self, Cancel, End},
};
use futures_util::{FutureExt, Stream, StreamExt, stream as streams};
use tokio::sync::mpsc;

use crate::{
    common::{Counter, Forwarder, Log, Recorder, settle},
    subscriptions::{Order, Push, queue},
};

/// Numbers without end, and how many were taken.
fn counted() -> (impl Iterator<Item = u64> + Send + 'static, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&taken);
    let numbers = (0..).inspect(move |_| {
        counts.fetch_add(1, SeqCst);
    });
    (numbers, taken)
}

/// Yields nothing. Its reference count shows whether it still exists.
struct Silent(Arc<()>);

impl Stream for Silent {
    type Item = u64;

    fn poll_next(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<Option<u64>> {
        let _ = &self.0;
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_take_10_events_of_a_demand_of_1000() {
    let (counter, demands) = Counter::new(0..1_000_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let stream = counter.output().max_demand(1_000).stream().unwrap();
    let events: Vec<_> = stream.take(10).collect().await;
    assert_eq!(events, (0..10).collect::<Vec<_>>());
    assert_eq!(demands.take(), [1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_take_300_events_with_a_demand_of_100() {
    let (counter, demands) = Counter::new(0..1_000_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let output = counter.output().max_demand(100).min_demand(80);
    let events: Vec<_> = output.stream().unwrap().take(300).collect().await;
    assert_eq!(events, (0..300).collect::<Vec<_>>());
    let demands = demands.take();
    assert_eq!(demands[0], 100);
    assert!(demands[1..].iter().all(|demand| demand % 20 == 0));
    assert!(demands.iter().sum::<usize>() <= 400);
}

#[tokio::test(start_paused = true)]
async fn a_stream_asks_again_when_the_first_event_behind_its_chunk_is_polled_for() {
    let (counter, demands) = Counter::new(0..1_000);
    let counter = stage::producer(counter).start().await.unwrap();
    let mut stream = counter.output().max_demand(10).stream().unwrap();
    for _ in 0..5 {
        stream.next().await;
    }
    settle().await;
    assert_eq!(demands.take(), [10]);
    stream.next().await;
    settle().await;
    assert_eq!(demands.take(), [5]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_cancels_its_subscription() {
    let (queue, log) = queue("queue").await;
    let stream = queue.output().stream().unwrap();
    let id = stream.id();
    drop(stream);
    settle().await;
    let told = [format!("subscribed {id}"), format!("cancelled {id}: ended")];
    assert_eq!(log.take(), told);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_leaves_untaken_events_to_others() {
    let (queue, _) = queue("queue").await;
    let output = queue.output().max_demand(10);
    queue.call(Push(0..10)).await.unwrap();
    let mut stream = output.stream().unwrap();
    assert_eq!(stream.next().await, Some(0));
    drop(stream);
    let mut other = output.stream().unwrap();
    assert_eq!(other.next_chunk().await, Some(vec![5, 6, 7, 8, 9]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_producer_and_returns_how() {
    for (order, fails) in [(Order::Stop, false), (Order::Fail, true)] {
        let (queue, _) = queue("queue").await;
        let mut stream = queue.output().stream().unwrap();
        queue.call(Push(0..2)).await.unwrap();
        let _ = queue.call(order).await;
        assert!(stream.end().is_none());
        assert_eq!(stream.next().await, Some(0));
        assert_eq!(stream.next().await, Some(1));
        assert!(stream.end().is_none());
        assert_eq!(stream.next().await, None);
        assert_eq!(stream.end().unwrap().is_failed(), fails);
        assert_eq!(stream.next().await, None);
        assert_eq!(stream.next_chunk().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn chunks_are_no_larger_than_half_of_the_demand_and_begin_behind_single_events() {
    let numbers = stage::from_iter(0..12_u64).start().await.unwrap();
    let mut stream = numbers.output().max_demand(10).stream().unwrap();
    assert_eq!(stream.next().await, Some(0));
    assert_eq!(stream.next_chunk().await, Some(vec![1, 2, 3, 4]));
    assert_eq!(stream.next_chunk().await, Some(vec![5, 6, 7, 8, 9]));
    assert_eq!(stream.next().await, Some(10));
    assert_eq!(stream.next_chunk().await, Some(vec![11]));
    assert_eq!(stream.next_chunk().await, None);
    assert!(matches!(stream.end(), Some(End::Normal)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_manual_demand_gets_the_events_it_asks_for() {
    let (numbers, taken) = counted();
    let numbers = stage::from_iter(numbers).start().await.unwrap();
    let mut stream = numbers.output().manual().stream().unwrap();
    settle().await;
    assert_eq!(stream.next().now_or_never(), None);
    assert_eq!(taken.load(SeqCst), 0);
    stream.ask(3);
    assert_eq!(stream.next_chunk().await, Some(vec![0, 1, 2]));
    assert_eq!(stream.next().now_or_never(), None);
    assert_eq!(taken.load(SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_stage_share_its_events() {
    let numbers = stage::from_iter(0..1_000_u64).start().await.unwrap();
    let output = numbers.output().max_demand(10);
    let (first, second) = (output.stream().unwrap(), output.stream().unwrap());
    let mut events: Vec<_> = streams::select(first, second).collect().await;
    events.sort_unstable();
    assert_eq!(events, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_iterator_is_taken_from_as_far_as_it_is_asked_for() {
    let (numbers, taken) = counted();
    let numbers = stage::from_iter(numbers).start().await.unwrap();
    settle().await;
    assert_eq!(taken.load(SeqCst), 0);
    let mut stream = numbers.output().max_demand(10).stream().unwrap();
    for _ in 0..100 {
        stream.next().await;
        settle().await;
    }
    assert!((100..=110).contains(&taken.load(SeqCst)));
}

#[tokio::test(start_paused = true)]
async fn back_pressure_goes_up_a_chain_of_stages() {
    let (numbers, taken) = counted();
    let numbers = stage::from_iter(numbers).start().await.unwrap();
    let forwarder = stage::producer_consumer(Forwarder)
        .subscribe_to(numbers.output().max_demand(20))
        .start()
        .await
        .unwrap();
    settle().await;
    assert_eq!(taken.load(SeqCst), 20, "it asks for itself");
    let mut stream = forwarder.output().max_demand(10).stream().unwrap();
    for _ in 0..50 {
        stream.next().await;
        settle().await;
    }
    // 50 were taken, 10 are on their way to the stream, 20 to the stage, and a chunk of 10 was taken for one that was asked for.
    assert!((50..=90).contains(&taken.load(SeqCst)));
}

#[tokio::test(start_paused = true)]
async fn an_iterator_that_ends_ends_its_stage_behind_its_last_item() {
    for items in [0, 1, 9, 10, 11, 1_000] {
        let numbers = stage::from_iter(0..items).start().await.unwrap();
        let stream = numbers.output().max_demand(10).stream().unwrap();
        let events: Vec<_> = stream.collect().await;
        assert_eq!(events, (0..items).collect::<Vec<_>>());
        assert!(matches!(numbers.join().await, End::Normal));
    }
}

#[tokio::test(start_paused = true)]
async fn an_iterator_that_panics_fails_its_stage() {
    let items = (0..10).inspect(|n| assert!(*n < 7, "no seven"));
    let numbers = stage::from_iter(items).start().await.unwrap();
    let mut stream = numbers.output().max_demand(2).stream().unwrap();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    // At most the events that it had demanded are lost.
    assert!(events.len() >= 5 && events.is_sorted());
    let end = stream.end().unwrap();
    assert!(end.to_string().contains("no seven"), "{end}");
    assert!(end.failure().unwrap().reason().is_panic());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_polled_only_as_far_as_it_is_asked_for_and_ends_its_stage() {
    let (numbers, taken) = counted();
    let source = streams::iter(numbers.take(200));
    let numbers = stage::from_stream(source).start().await.unwrap();
    settle().await;
    assert_eq!(taken.load(SeqCst), 0);
    let mut stream = numbers.output().max_demand(10).stream().unwrap();
    assert_eq!(stream.next().await, Some(0));
    settle().await;
    assert!(taken.load(SeqCst) <= 10);
    assert_eq!(stream.count().await, 199);
    assert!(matches!(numbers.join().await, End::Normal));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_not_held_up_by_a_stream_that_is_pending() {
    let there = Arc::new(());
    let silent = stage::from_stream(Silent(Arc::clone(&there)));
    let silent = silent.start().await.unwrap();
    let mut stream = silent.output().stream().unwrap();
    settle().await;
    assert!(matches!(silent.stop().await, End::Shutdown));
    assert_eq!(stream.next().await, None);
    assert_eq!(Arc::strong_count(&there), 1, "the stream was dropped");
}

#[tokio::test(start_paused = true)]
async fn events_of_a_stream_are_sent_before_it_is_pending() {
    let first = streams::iter([1, 2, 3]).chain(streams::pending());
    let numbers = stage::from_stream(first).start().await.unwrap();
    let mut stream = numbers.output().stream().unwrap();
    assert_eq!(stream.next_chunk().await, Some(vec![1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_panics_fails_its_stage() {
    let make = || streams::poll_fn(|_| -> Poll<Option<u64>> { panic!("no stream") });
    let broken = stage::from_stream(make()).start().await.unwrap();
    let mut stream = broken.output().stream().unwrap();
    assert_eq!(stream.next().await, None);
    let end = stream.end().unwrap();
    assert!(end.to_string().contains("no stream"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn senders_of_a_channel_feel_the_back_pressure() {
    let (tx, rx) = mpsc::channel(1);
    let received = stage::from_receiver(rx).start().await.unwrap();
    let output = received.output().max_demand(10);
    let mut stream = output.stream().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&sent);
    tokio::spawn(async move {
        for n in 0..100 {
            tx.send(n).await.unwrap();
            counts.fetch_add(1, SeqCst);
        }
    });
    settle().await;
    // Ten were asked for, one is in the channel.
    assert_eq!(sent.load(SeqCst), 11);
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    assert_eq!(events, (0..100).collect::<Vec<_>>());
    assert!(matches!(received.join().await, End::Normal));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_is_stopped_closes_the_channel_that_it_receives_from() {
    let (tx, rx) = mpsc::channel(10);
    let received = stage::from_receiver(rx).start().await.unwrap();
    tx.send(1).await.unwrap();
    assert!(matches!(received.stop().await, End::Shutdown));
    assert!(tx.send(2).await.is_err(), "the receiver is gone");
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_called_with_each_event_in_order() {
    let seen = Log::new();
    let log = seen.clone();
    let numbers = stage::from_iter(0..100_u64).start().await.unwrap();
    let consumer = stage::for_each(move |n| {
        let log = log.clone();
        async move {
            tokio::task::yield_now().await;
            log.push(n);
            Ok(())
        }
    });
    let consumer = consumer.subscribe_to(numbers.output().max_demand(7));
    let end = consumer.start().await.unwrap().join().await;
    assert!(matches!(end, End::Normal));
    assert_eq!(seen.take(), (0..100).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_returns_an_error_fails_its_stage() {
    let numbers = stage::from_iter(0..100_u64).start().await.unwrap();
    let consumer =
        stage::for_each(|n: u64| async move { if n == 5 { Err("five".into()) } else { Ok(()) } });
    let consumer = consumer.subscribe_to(numbers.output().max_demand(2));
    let end = consumer.start().await.unwrap().join().await;
    assert!(end.to_string().contains("five"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_slow_slows_the_producers() {
    let (numbers, taken) = counted();
    let numbers = stage::from_iter(numbers).start().await.unwrap();
    let (tx, mut rx) = mpsc::channel(1);
    let sender = stage::into_sender(tx).subscribe_to(numbers.output().max_demand(4));
    let sender = sender.start().await.unwrap();
    settle().await;
    assert!(taken.load(SeqCst) <= 4);
    for n in 0..50 {
        assert_eq!(rx.recv().await, Some(n));
        settle().await;
    }
    assert!((50..=56).contains(&taken.load(SeqCst)));
    drop(rx);
    assert!(matches!(sender.join().await, End::Normal));
}

#[tokio::test(start_paused = true)]
async fn a_channel_is_closed_behind_the_last_event_that_is_sent_to_it() {
    let numbers = stage::from_iter(0..20_u64).start().await.unwrap();
    let (tx, mut rx) = mpsc::channel(100);
    let sender = stage::into_sender(tx).subscribe_to(numbers.output());
    drop(sender.start().await.unwrap());
    let mut events = Vec::new();
    while let Some(event) = rx.recv().await {
        events.push(event);
    }
    assert_eq!(events, (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn closures_map_and_flatten_and_filter() {
    let numbers = stage::from_iter(0..6_u64).start().await.unwrap();
    let doubled = stage::map(|n: u64| n * 2).subscribe_to(numbers.output());
    let doubled = doubled.start().await.unwrap();
    let repeated = stage::flat_map(|n: u64| [n, n + 1]).subscribe_to(doubled.output());
    let repeated = repeated.start().await.unwrap();
    let filtered = stage::flat_map(|n: u64| (!n.is_multiple_of(3)).then_some(n));
    let filtered = filtered.subscribe_to(repeated.output());
    let filtered = filtered.start().await.unwrap();
    let events: Vec<_> = filtered.output().stream().unwrap().collect().await;
    assert_eq!(events, [1, 2, 4, 5, 7, 8, 10, 11]);
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_sends_beyond_the_demand_takes_no_more_until_its_buffer_is_empty() {
    let (numbers, taken) = counted();
    let numbers = stage::from_iter(numbers).start().await.unwrap();
    let many = stage::flat_map(|n: u64| vec![n; 1_000]);
    let many = many.subscribe_to(numbers.output().max_demand(2));
    let many = many.start().await.unwrap();
    let mut stream = many.output().max_demand(10).stream().unwrap();
    for _ in 0..500 {
        assert_eq!(stream.next().await, Some(0));
        settle().await;
    }
    assert_eq!(many.stats().received, 1);
    assert!(taken.load(SeqCst) <= 3);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_outlives_an_iterator_takes_another() {
    let (recorder, chunks) = Recorder::new();
    let consumer = stage::consumer(recorder).start().await.unwrap();
    for first in [0, 10, 20] {
        let numbers = stage::from_iter(first..first + 10_u64).start();
        let output = numbers.await.unwrap().output().cancel(Cancel::Transient);
        consumer.subscribe(&output).unwrap();
    }
    while consumer.stats().received < 30 {
        settle().await;
    }
    assert!(matches!(consumer.stop().await, End::Shutdown));
    let mut events = chunks.take().concat();
    events.sort_unstable();
    assert_eq!(events, (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_handles_the_events_of_a_stage_and_ends_with_it() {
    let seen = Log::new();
    let log = seen.clone();
    let numbers = stage::from_iter(0..1_000_u64).start().await.unwrap();
    let handler = handler_fn(move |message: &mut Message<u64>| {
        log.push(*message.data());
        Ok(())
    });
    let output = numbers.output().max_demand(10);
    let topology = Pipeline::new(output, handler).start().await.unwrap();
    let totals = topology.wait().await.unwrap();
    assert_eq!(totals.done, 1_000);
    let mut seen = seen.take();
    seen.sort_unstable();
    assert_eq!(seen, (0..1_000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_reports_the_invalid_options_of_the_output_that_it_reads() {
    let numbers = stage::from_iter(0..3_u64).start().await.unwrap();
    let output = numbers.output().max_demand(5).min_demand(5);
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let error = Pipeline::new(output, handler).start().await.unwrap_err();
    assert!(error.to_string().contains("give at most 4"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_that_is_stopped_leaves_untaken_events_with_the_stage() {
    let (queue, log) = queue("queue").await;
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let pipeline = Pipeline::new(queue.output().max_demand(10), handler);
    let topology = pipeline.start().await.unwrap();
    queue.call(Push(0..5)).await.unwrap();
    settle().await;
    topology.drain().await.unwrap();
    queue.call(Push(5..8)).await.unwrap();
    assert!(log.take()[1].starts_with("cancelled"));
    let mut stream = queue.output().stream().unwrap();
    assert_eq!(stream.next_chunk().await, Some(vec![5, 6, 7]));
}
