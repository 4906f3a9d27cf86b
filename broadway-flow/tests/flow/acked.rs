//! Acknowledged sources: what is settled, and when; snapshots.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{
    Outgoing,
    testing::{RecordingPublisher, manual_source},
};
use broadway_flow::{
    EventTime, Firing, Flow, FlowSource, SnapshotFolder, Timestamp, Windowed, Windows,
};
use tempfile::TempDir;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

type Event = (i64, char);

fn times() -> EventTime<Event> {
    EventTime::new(|event: &Event| Timestamp::from_millis(event.0 * 1_000))
}

/// Results as they come.
type Results = Arc<Mutex<Vec<Windowed<(char, u64)>>>>;

#[tokio::test(start_paused = true)]
async fn a_message_without_state_is_settled_when_its_results_are_out() {
    let (source, feed) = manual_source();
    let out = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&out);
    let flow = Flow::from_source(source)
        .workers(3)
        .map(|n: u32| n + 1)
        .shuffle()
        .workers(2);
    let flow = flow.inspect(move |n| seen.lock().unwrap().push(*n));
    let mut running = flow.start().await.unwrap();
    let receipts = feed.push_all(0..1_000);
    for receipt in receipts {
        assert!(receipt.outcome().await.unwrap().is_done());
    }
    assert_eq!(out.lock().unwrap().len(), 1_000);
    feed.end();
    running.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_message_in_a_window_is_settled_when_the_window_has_fired() {
    let (source, feed) = manual_source::<Event>();
    let results = Results::default();
    let out = Arc::clone(&results);
    let counts = Flow::from_source(source)
        .event_time(times())
        .workers(2)
        .partition(|event| event.1)
        .workers(2)
        .window(Windows::fixed(s(10)))
        .count();
    let counts = counts.inspect(move |count| out.lock().unwrap().push(count.clone()));
    let mut running = counts.start().await.unwrap();
    let first = feed.push((1, 'a'));
    tokio::time::sleep(s(5)).await;
    assert_eq!(feed.unsettled(), [0]);
    assert!(results.lock().unwrap().is_empty());
    feed.push((11, 'a'));
    assert!(first.outcome().await.unwrap().is_done());
    assert_eq!(results.lock().unwrap().len(), 1);
    assert_eq!(feed.unsettled(), [1]);
    feed.end();
    running.wait().await.unwrap();
    assert_eq!(results.lock().unwrap().len(), 2);
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_fails_returns_its_messages() {
    let (source, feed) = manual_source::<u32>();
    let flow = Flow::from_source(source).map(|n| if n == 3 { panic!("three") } else { n });
    let mut running = flow.start().await.unwrap();
    let receipts = feed.push_all(0..5);
    let error = running.wait().await.unwrap_err();
    assert_eq!(error.to_string(), "map panicked: three");
    for receipt in receipts {
        assert!(!receipt.outcome().await.unwrap().is_done());
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_is_stopped_settles_what_is_out_and_returns_the_rest() {
    let (source, feed) = manual_source::<Event>();
    let counts = Flow::from_source(source)
        .event_time(times())
        .workers(2)
        .partition(|event| event.1)
        .window(Windows::fixed(s(10)))
        .count();
    let running = counts.start().await.unwrap();
    let out = feed.push((1, 'a'));
    // Messages between two barriers are settled together.
    tokio::time::sleep(s(1)).await;
    let held = feed.push((15, 'a'));
    feed.wait_delivered(2).await;
    running.stop().await;
    assert!(out.outcome().await.unwrap().is_done());
    assert!(!held.outcome().await.unwrap().is_done());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_opened_again_and_loses_nothing() {
    let (source, feed) = manual_source::<u32>();
    let flow = Flow::from_source(source).map(|n| n);
    let running = flow.collect();
    let running = tokio::spawn(running);
    feed.push_all(0..10);
    feed.wait_delivered(10).await;
    feed.fail("the broker is gone");
    feed.push_all(10..20);
    feed.end();
    let mut all = running.await.unwrap().unwrap();
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>());
    feed.assert_settled_once();
}

/// Counts per key and window, durably, of events from this one on, until the flow is stopped.
async fn run_part(events: &[Event], from: usize, folder: &TempDir, end: bool, results: &Results) {
    let (source, feed) = manual_source::<(usize, Event)>();
    let source = FlowSource::new(source).positions(|event| (0, event.0 as u64));
    let out = Arc::clone(results);
    let times = EventTime::new(|event: &(usize, Event)| Timestamp::from_millis(event.1.0 * 1_000));
    let counts = Flow::from_source_with(source)
        .event_time(times.disorder(s(3)))
        .workers(2)
        .partition(|event| event.1.1)
        .workers(2)
        .durable()
        .window(Windows::sliding(s(20), s(10)))
        .count()
        .inspect(move |count| out.lock().unwrap().push(count.clone()))
        .snapshots(SnapshotFolder::new(folder.path()), s(1));
    let mut running = counts.start().await.unwrap();
    let all = events.iter().copied().enumerate();
    feed.push_all(all.skip(from));
    if end {
        feed.end();
        running.wait().await.unwrap();
    } else {
        feed.wait_delivered(events.len() - from).await;
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_restored_flow_has_the_results_of_one_that_never_stopped() {
    let events: Vec<Event> = (0..300)
        .map(|n| ((n * 7 % 5) - 2 + n / 2, ['a', 'b', 'c'][n as usize % 3]))
        .collect();
    let whole = Results::default();
    run_part(&events, 0, &TempDir::new().unwrap(), true, &whole).await;

    let folder = TempDir::new().unwrap();
    let parts = Results::default();
    run_part(&events[..100], 0, &folder, false, &parts).await;
    // Messages that were delivered before come again.
    run_part(&events[..220], 40, &folder, false, &parts).await;
    run_part(&events, 150, &folder, true, &parts).await;

    let by_window = |results: &Results| {
        let mut by_window = BTreeMap::new();
        for result in results.lock().unwrap().iter() {
            assert_eq!(result.firing, Firing::OnTime);
            let before = by_window.insert((result.window, result.value.0), result.value.1);
            assert!(
                before.is_none_or(|before| before == result.value.1),
                "{result:?}"
            );
        }
        by_window
    };
    assert_eq!(by_window(&parts), by_window(&whole));
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_a_state_that_is_not_durable_are_refused() {
    let (source, _feed) = manual_source::<u32>();
    let folder = TempDir::new().unwrap();
    let flow = Flow::from_source(source).partition(|n| *n).count();
    let flow = flow.snapshots(SnapshotFolder::new(folder.path()), s(1));
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("durable"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_source_beside_another_one_is_refused() {
    let (source, _feed) = manual_source::<u32>();
    let flow = Flow::from_source(source).merge(Flow::from_iter(0..3));
    let error = flow.run().await.unwrap_err().to_string();
    assert!(error.contains("only source"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn ends_that_do_not_confirm_results_are_refused() {
    let flow = || {
        let (source, _feed) = manual_source::<u32>();
        Flow::from_source(source).workers(2).shuffle()
    };
    let stream = flow().into_stream().await.unwrap_err().to_string();
    assert!(stream.contains("into_stream: is not possible"), "{stream}");
    assert!(stream.contains("for_each_batch"), "{stream}");
    let stages = flow().into_stages().await.unwrap_err().to_string();
    assert!(stages.contains("into_stages: is not possible"), "{stages}");
}

#[tokio::test(start_paused = true)]
async fn a_message_is_settled_after_what_it_became_is_published() {
    let (source, feed) = manual_source::<u32>();
    let publisher = RecordingPublisher::new();
    let flow = Flow::from_source(source)
        .workers(2)
        .flat_map(|n| [n, n + 100]);
    let published = flow.into_publisher(publisher.clone(), |n| Outgoing::new(n.to_string()));
    let mut running = published.await.unwrap();
    let receipts = feed.push_all(0..50);
    for receipt in receipts {
        assert!(receipt.outcome().await.unwrap().is_done());
    }
    assert_eq!(publisher.sent().len(), 100);
    feed.end();
    running.wait().await.unwrap();
    feed.assert_settled_once();
}

#[tokio::test(start_paused = true)]
async fn a_message_is_not_settled_while_its_batch_is_awaited() {
    let (source, feed) = manual_source::<u32>();
    let (gate, open) = tokio::sync::watch::channel(false);
    let flow = Flow::from_source(source).for_each_batch(move |_| {
        let mut open = open.clone();
        async move { open.wait_for(|open| *open).await.map(|_| ()) }
    });
    let running = tokio::spawn(flow);
    let receipt = feed.push(1);
    tokio::time::sleep(s(5)).await;
    assert_eq!(feed.unsettled(), [0]);
    gate.send_replace(true);
    assert!(receipt.outcome().await.unwrap().is_done());
    feed.end();
    running.await.unwrap().unwrap();
}
