//! What takes the results of a flow.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use broadway_core::stage::{self, Output};
use broadway_flow::Flow;
use futures_util::StreamExt;

use crate::feed::{in_parts, ms, s};

type Seen = Arc<Mutex<Vec<u32>>>;

/// A consumer that notes its events.
async fn note(numbers: Output<u32>, seen: &Seen) -> stage::ConsumerHandle<stage::ForEach<u32>> {
    let seen = Arc::clone(seen);
    let consumer = stage::for_each(move |n| {
        seen.lock().unwrap().push(n);
        async { Ok(()) }
    });
    consumer.subscribe_to(numbers).start().await.unwrap()
}

fn sorted(seen: &Seen) -> Vec<u32> {
    let mut all = seen.lock().unwrap().clone();
    all.sort_unstable();
    all
}

#[tokio::test]
async fn a_run_has_its_effects_and_returns_no_results() {
    let sum = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&sum);
    let flow = Flow::from_iters([0..500, 500..1_000]).workers(3);
    let report = flow
        .inspect(move |n| _ = seen.fetch_add(*n, Relaxed))
        .run()
        .await
        .unwrap();
    assert_eq!(sum.load(Relaxed), (0..1_000).sum::<usize>());
    assert_eq!(report.operators()[0].events(), 1_000);
}

#[tokio::test]
async fn for_each_gets_every_result() {
    let sum = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&sum);
    let flow = Flow::from_iter(0..1_000)
        .partition(|n| n % 7)
        .workers(3)
        .sum(|n| *n);
    flow.for_each(move |(_, n)| _ = seen.fetch_add(n, Relaxed))
        .await
        .unwrap();
    assert_eq!(sum.load(Relaxed), (0..1_000).sum::<usize>());
}

#[tokio::test]
async fn a_flow_that_was_started_ends_with_its_sources() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let merged = Flow::from_iter(0..1_000)
        .map(|n| n + 1)
        .merge(Flow::from_iter(0..500))
        .workers(2);
    let counts = merged.partition(|n| n % 3).workers(3).count();
    let counts = counts.inspect(move |(_, n)| _ = seen.fetch_add(*n as usize, Relaxed));
    let mut running = counts.start().await.unwrap();
    running.wait().await.unwrap();
    assert_eq!(count.load(Relaxed), 1_500);
}

#[tokio::test]
async fn results_do_not_stay_in_memory_once_they_are_through() {
    // Each event holds on to this.
    let held = Arc::new(());
    let most = Arc::new(AtomicUsize::new(0));
    let (source, seen) = (Arc::clone(&held), Arc::clone(&most));
    let events = (0..200_000).map(move |_| Arc::clone(&source));
    let flow = Flow::from_iter(events).workers(1).map(|event| event);
    let flow = flow.inspect(move |event| _ = seen.fetch_max(Arc::strong_count(event), Relaxed));
    flow.run().await.unwrap();
    assert!(most.load(Relaxed) < 50_000, "{most:?}");
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_consumer_gets_every_event_of_a_flow_and_ends_with_it() {
    let seen = Seen::default();
    let flow = Flow::from_iters([0..1_000, 1_000..2_500])
        .workers(3)
        .shuffle()
        .workers(2);
    let (output, mut running) = flow.map(|n| n * 2).into_stages().await.unwrap();
    let consumer = note(output, &seen).await;
    running.wait().await.unwrap();
    assert!(!consumer.join().await.is_failed());
    assert_eq!(sorted(&seen), (0..2_500).map(|n| n * 2).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_consumer_may_subscribe_while_the_flow_runs_and_others_are_busy() {
    let flow = Flow::from_iter(0..50_000_u32).workers(1).map(|n| n);
    let (output, mut running) = flow.into_stages().await.unwrap();
    let (gate, open) = tokio::sync::watch::channel(false);
    let busy = Seen::default();
    let noted = Arc::clone(&busy);
    let consumer = stage::for_each(move |n| {
        let (mut open, noted) = (open.clone(), Arc::clone(&noted));
        async move {
            open.wait_for(|open| *open).await?;
            noted.lock().unwrap().push(n);
            Ok(())
        }
    });
    let first = consumer.subscribe_to(output.clone()).start().await.unwrap();
    tokio::time::sleep(s(1)).await;
    let late = Seen::default();
    let second = note(output, &late).await;
    tokio::time::sleep(s(1)).await;
    assert!(!late.lock().unwrap().is_empty());
    gate.send_replace(true);
    running.wait().await.unwrap();
    first.join().await;
    second.join().await;
    let all: BTreeSet<u32> = sorted(&busy).into_iter().chain(sorted(&late)).collect();
    assert_eq!(all.len(), 50_000);
    assert_eq!(
        busy.lock().unwrap().len() + late.lock().unwrap().len(),
        50_000
    );
}

#[tokio::test(start_paused = true)]
async fn events_go_through_running_stages_and_into_others() {
    let (one, two, three) = (Seen::default(), Seen::default(), Seen::default());
    let (first, second) = (Arc::clone(&one), Arc::clone(&two));
    let flow = Flow::from_iter(0..3_000_u32).workers(3);
    let flow = flow.through(async move |numbers| {
        let same = stage::map(move |n: u32| {
            first.lock().unwrap().push(n);
            n
        });
        Ok(same.subscribe_to(numbers).start().await?.output())
    });
    let flow = flow
        .workers(2)
        .filter(|n| n % 2 == 0)
        .through(async move |numbers| {
            let more = stage::map(move |n: u32| {
                second.lock().unwrap().push(n);
                n + 1
            });
            Ok(more.subscribe_to(numbers).start().await?.output())
        });
    let (output, mut running) = flow.workers(2).into_stages().await.unwrap();
    let consumer = note(output, &three).await;
    running.wait().await.unwrap();
    consumer.join().await;
    assert_eq!(sorted(&one), (0..3_000).collect::<Vec<_>>());
    assert_eq!(sorted(&two), (0..3_000).step_by(2).collect::<Vec<_>>());
    assert_eq!(
        sorted(&three),
        (0..3_000).step_by(2).map(|n| n + 1).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_has_results_as_they_come() {
    let began = tokio::time::Instant::now();
    let flow = in_parts(vec![vec![1, 2], vec![3]])
        .workers(1)
        .map(|n| n * 2);
    let mut stream = flow.into_stream().await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), 2);
    assert_eq!(stream.next().await.unwrap().unwrap(), 4);
    assert!(began.elapsed() < s(1));
    assert_eq!(stream.next().await.unwrap().unwrap(), 6);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_flow_whose_results_are_not_taken_reads_only_so_much() {
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let endless = (0_u64..).inspect(move |_| _ = counted.fetch_add(1, Relaxed));
    let (output, running) = Flow::from_iter(endless)
        .workers(1)
        .into_stages()
        .await
        .unwrap();
    tokio::time::sleep(s(10)).await;
    let before = read.load(Relaxed);
    assert!(before < 50_000, "{before}");
    let taken: Vec<_> = output.stream().unwrap().take(100_000).collect().await;
    assert_eq!(taken, (0..100_000).collect::<Vec<_>>());
    assert!(read.load(Relaxed) > before);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn taking_some_events_of_an_endless_flow_ends_it_when_the_stream_is_dropped() {
    for with_operators in [false, true] {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let endless = (0_u64..).inspect(move |_| _ = Arc::strong_count(&held));
        let flow = Flow::from_iter(endless).workers(1);
        let flow = if with_operators {
            flow.map(|n| n).boxed()
        } else {
            flow
        };
        let taken: Vec<_> = flow
            .into_stream()
            .await
            .unwrap()
            .take(10)
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
        let gone = async {
            while Arc::strong_count(&alive) > 1 {
                tokio::time::sleep(ms(10)).await;
            }
        };
        tokio::time::timeout(s(60), gone)
            .await
            .expect("its source is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_flow_that_has_ended() {
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    let flow = Flow::from_iter(0..1_000_u64).map(move |n| n + Arc::strong_count(&held) as u64);
    let counts = flow.partition(|n| n % 3).count().collect().await.unwrap();
    assert_eq!(counts.len(), 3);
    let gone = async {
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(ms(10)).await;
        }
    };
    tokio::time::timeout(s(60), gone)
        .await
        .expect("its workers are gone");
}
