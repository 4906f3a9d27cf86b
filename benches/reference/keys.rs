//! Two workers, then batches by key: a map from key to open batch, swept for those whose time is
//! up. The sweep keeps the path of a message free of timers and costs one pass per interval.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::processors::{Workers, feed, take};
use super::{BATCH_TIMEOUT, CAPACITY};
use crate::support::workload::{Ledger, Tally, handle_id};

const WORKERS: Workers = Workers {
    count: 2,
    chunk: 100,
};
const BATCH_SIZE: usize = 100;
const SWEEP: Duration = Duration::from_millis(100);

/// The workers send key and message to one task that owns the map.
pub(crate) async fn map_task<K: Eq + Hash + Send + 'static>(
    messages: u64,
    key: fn(u64) -> K,
) -> Tally {
    let (outlet, mut inlet) = mpsc::channel(CAPACITY);
    let source = feed(0..messages);
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS.count {
        let (source, outlet) = (source.clone(), outlet.clone());
        tasks.spawn(async move {
            let mut chunk = Vec::with_capacity(WORKERS.chunk);
            while take(&source, &mut chunk, WORKERS.chunk).await {
                for id in chunk.drain(..).map(handle_id) {
                    outlet
                        .send((key(id), id))
                        .await
                        .expect("the map outlives the workers");
                }
            }
        });
    }
    drop(outlet);

    let mut batches = Batches::default();
    let mut received = Vec::with_capacity(WORKERS.chunk);
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // The data first: a sweep that comes a chunk late harms nobody.
            biased;
            count = inlet.recv_many(&mut received, WORKERS.chunk) => {
                if count == 0 {
                    break;
                }
                let now = Instant::now();
                for (key, id) in received.drain(..) {
                    batches.push(key, id, now);
                }
            }
            _ = sweep.tick() => batches.close_due(Instant::now()),
        }
    }
    batches.close_all();
    batches.ledger.tally()
}

/// The map behind a mutex; the workers push into it themselves, a chunk per lock.
pub(crate) async fn map_mutex<K: Eq + Hash + Send + 'static>(
    messages: u64,
    key: fn(u64) -> K,
) -> Tally {
    let batches = Arc::new(Mutex::new(Batches::default()));
    let source = feed(0..messages);
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS.count {
        let (source, batches) = (source.clone(), batches.clone());
        tasks.spawn(async move {
            let mut chunk = Vec::with_capacity(WORKERS.chunk);
            while take(&source, &mut chunk, WORKERS.chunk).await {
                let now = Instant::now();
                let mut batches = batches.lock().expect("no batch panics");
                for id in chunk.drain(..).map(handle_id) {
                    batches.push(key(id), id, now);
                }
            }
        });
    }
    let sweeper = tokio::spawn({
        let batches = batches.clone();
        async move {
            let mut sweep = interval(SWEEP);
            loop {
                sweep.tick().await;
                batches
                    .lock()
                    .expect("no batch panics")
                    .close_due(Instant::now());
            }
        }
    });
    tasks.join_all().await;
    sweeper.abort();
    let mut batches = batches.lock().expect("no batch panics");
    batches.close_all();
    batches.ledger.tally()
}

/// The open batches. A batch that is full or due is handled on the spot.
struct Batches<K> {
    open: HashMap<K, Batch>,
    ledger: Ledger,
}

struct Batch {
    messages: Vec<u64>,
    opened: Instant,
}

impl<K> Default for Batches<K> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
            ledger: Ledger::default(),
        }
    }
}

impl<K: Eq + Hash> Batches<K> {
    fn push(&mut self, key: K, id: u64, now: Instant) {
        let batch = self.open.entry(key);
        let batch = batch.or_insert_with(|| Batch {
            messages: Vec::new(),
            opened: now,
        });
        if batch.messages.is_empty() {
            batch.opened = now;
        }
        batch.messages.push(id);
        if batch.messages.len() == BATCH_SIZE {
            batch.close(&self.ledger);
        }
    }

    /// Handles what waited long enough and forgets keys that had nothing to wait.
    fn close_due(&mut self, now: Instant) {
        self.open.retain(|_, batch| {
            let due = now.duration_since(batch.opened) >= BATCH_TIMEOUT;
            if due {
                batch.close(&self.ledger);
            }
            !due
        });
    }

    fn close_all(&mut self) {
        for (_, mut batch) in self.open.drain() {
            batch.close(&self.ledger);
        }
    }
}

impl Batch {
    /// Handles the messages; the vector stays for the key's next batch.
    fn close(&mut self, ledger: &Ledger) {
        ledger.settle(self.messages.len(), self.messages.iter().sum());
        self.messages.clear();
    }
}
