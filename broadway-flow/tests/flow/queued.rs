//! Flows over an embedded queue.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use broadway_core::{Outgoing, Publisher, Record};
use broadway_flow::{EventTime, Flow, RunningFlow, Timestamp, Window, Windows};
use broadway_queue::{Queue, QueuePublisher, QueueRecord};
use tempfile::TempDir;
use tokio::sync::Notify;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Where a flow has got to.
#[derive(Default)]
struct Seen {
    events: AtomicUsize,
    /// By the number of ten seconds. A window may be out again, with the same count.
    counts: Mutex<BTreeMap<i64, u64>>,
    changed: Notify,
}

impl Seen {
    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        while !reached(self) {
            self.changed.notified().await;
        }
    }
}

/// Publishes records of one key, whose payloads are seconds.
async fn publish(folder: &TempDir, seconds: impl Iterator<Item = i64>) {
    let publisher = QueuePublisher::topic(folder.path(), "clicks").open().await;
    let publisher = publisher.unwrap();
    let records = seconds.map(|second| Outgoing::new(second.to_string()).key("ada"));
    for published in publisher.publish(records.collect()).await {
        published.unwrap();
    }
    publisher.close().await.unwrap();
}

/// Counts the records of each ten seconds.
async fn count(folder: &TempDir, seen: &Arc<Seen>) -> RunningFlow {
    let second = |record: &QueueRecord| {
        let text = std::str::from_utf8(record.payload()).unwrap();
        text.parse::<i64>().unwrap()
    };
    let (read, out) = (Arc::clone(seen), Arc::clone(seen));
    let flow = Flow::from_source(Queue::topic(folder.path(), "clicks"))
        .map(move |record| second(&record))
        .inspect(move |_| {
            read.events.fetch_add(1, Relaxed);
            read.changed.notify_one();
        })
        .event_time(EventTime::new(|second: &i64| {
            Timestamp::from_millis(second * 1_000)
        }))
        .partition(|_| 0)
        .window(Windows::fixed(s(10)))
        .count()
        .inspect(move |count| {
            let Window::Time { start, .. } = count.window else {
                panic!("{count:?}");
            };
            let window = start.as_millis() / 10_000;
            let before = out.counts.lock().unwrap().insert(window, count.value.1);
            assert!(
                before.is_none_or(|before| before == count.value.1),
                "{count:?}"
            );
            out.changed.notify_one();
        });
    flow.start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_was_stopped_reads_the_records_of_its_windows_again_in_their_order() {
    let folder = TempDir::new().unwrap();
    publish(&folder, 0..15).await;
    let seen = Arc::new(Seen::default());
    let running = count(&folder, &seen).await;
    let is_out = |seen: &Seen, window| seen.counts.lock().unwrap().contains_key(&window);
    // The first window is out, and the second one is open.
    let is_read = |seen: &Seen| seen.events.load(Relaxed) == 15;
    seen.until(|seen| is_read(seen) && is_out(seen, 0)).await;
    running.stop().await;
    assert!(!is_out(&seen, 1));

    publish(&folder, (15..20).chain([90])).await;
    let running = count(&folder, &seen).await;
    seen.until(|seen| is_out(seen, 1)).await;
    running.stop().await;
    let counts = seen.counts.lock().unwrap().clone();
    assert_eq!(counts, BTreeMap::from([(0, 10), (1, 10)]));
}
