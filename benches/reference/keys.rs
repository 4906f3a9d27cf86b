//! Two workers, then batches by key: a map from key to open batch, and a sweep for expired batches.
//! With the sweep, messages need no timers; it costs one pass per interval.
//!
//! `map_task` and `map_mutex` settle a batch where it became full, and know only its size and sum.
//! `handed_over` moves batches as a pipeline does: to two tasks through a bounded channel, and every
//! message carries a token, by which its task settles it. Like the others, it catches no panics.

use std::collections::HashMap;
use std::hash::Hash;
use std::hint::black_box;
use std::mem::{replace, take};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::processors::{Workers, feed, take_chunk};
use super::{BATCH_TIMEOUT, CAPACITY};
use crate::support::workload::{Ledger, Tally, handle_id};

const WORKERS: Workers = Workers {
    count: 2,
    chunk: 100,
};
const BATCH_SIZE: usize = 100;
const SWEEP: Duration = Duration::from_millis(100);
const BATCH_TASKS: usize = 2;

/// Full batches that wait for a task: as many messages as wait between two other stages.
const WAITING_BATCHES: usize = CAPACITY / BATCH_SIZE;

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
            while take_chunk(&source, &mut chunk, WORKERS.chunk).await {
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

    let ledger = Ledger::default();
    let (mut batches, mut ready) = (Batches::default(), Vec::new());
    let mut received = Vec::with_capacity(WORKERS.chunk);
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Data first: a sweep may be late by a chunk.
            biased;
            count = inlet.recv_many(&mut received, WORKERS.chunk) => {
                if count == 0 {
                    break;
                }
                let now = Instant::now();
                for (key, id) in received.drain(..) {
                    batches.push(key, id, now, &mut ready);
                }
            }
            _ = sweep.tick() => batches.close_due(Instant::now(), &mut ready),
        }
        handle_batches(&mut ready, &ledger);
    }
    batches.close_all(&mut ready);
    handle_batches(&mut ready, &ledger);
    ledger.tally()
}

/// The map behind a mutex: a worker pushes its chunk into it, releases the lock, and handles the
/// batches that became full.
pub(crate) async fn map_mutex<K: Eq + Hash + Send + 'static>(
    messages: u64,
    key: fn(u64) -> K,
) -> Tally {
    let ledger = Ledger::default();
    let batches = Arc::new(Mutex::new(Batches::default()));
    let source = feed(0..messages);
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS.count {
        let (source, batches, ledger) = (source.clone(), batches.clone(), ledger.clone());
        tasks.spawn(async move {
            let mut chunk = Vec::with_capacity(WORKERS.chunk);
            let mut ready = Vec::new();
            while take_chunk(&source, &mut chunk, WORKERS.chunk).await {
                let now = Instant::now();
                {
                    let mut batches = batches.lock().expect("no push panics");
                    for id in chunk.drain(..).map(handle_id) {
                        batches.push(key(id), id, now, &mut ready);
                    }
                }
                handle_batches(&mut ready, &ledger);
            }
        });
    }
    let sweeper = tokio::spawn(sweep(batches.clone(), ledger.clone()));
    tasks.join_all().await;
    // Aborting is safe only between two ticks, the only place where the task waits.
    sweeper.abort();
    let _cancelled = sweeper.await;

    let mut ready = Vec::new();
    batches
        .lock()
        .expect("no push panics")
        .close_all(&mut ready);
    handle_batches(&mut ready, &ledger);
    ledger.tally()
}

async fn sweep<K: Eq + Hash>(batches: Arc<Mutex<Batches<K, u64>>>, ledger: Ledger) {
    let mut sweep = interval(SWEEP);
    let mut ready = Vec::new();
    loop {
        sweep.tick().await;
        batches
            .lock()
            .expect("no push panics")
            .close_due(Instant::now(), &mut ready);
        handle_batches(&mut ready, &ledger);
    }
}

/// A message with the token that settles it.
struct Carried {
    data: u64,
    token: u64,
}

/// The map behind a mutex, as in [`map_mutex`]. Full batches go to two tasks.
pub(crate) async fn handed_over<K: Eq + Hash + Send + 'static>(
    messages: u64,
    key: fn(u64) -> K,
) -> Tally {
    let ledger = Ledger::default();
    let (outlet, inlet) = async_channel::bounded(WAITING_BATCHES);
    let mut batch_tasks = JoinSet::new();
    for _ in 0..BATCH_TASKS {
        batch_tasks.spawn(settle_batches(inlet.clone(), ledger.clone()));
    }

    let batches = Arc::new(Mutex::new(Batches::default()));
    let source = feed((0..messages).map(|id| Carried {
        data: id,
        token: id,
    }));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS.count {
        let (source, batches, outlet) = (source.clone(), batches.clone(), outlet.clone());
        workers.spawn(async move {
            let mut chunk = Vec::with_capacity(WORKERS.chunk);
            let mut ready = Vec::new();
            while take_chunk(&source, &mut chunk, WORKERS.chunk).await {
                let now = Instant::now();
                {
                    let mut batches = batches.lock().expect("no push panics");
                    for mut message in chunk.drain(..) {
                        message.data = handle_id(message.data);
                        batches.push(key(message.data), message, now, &mut ready);
                    }
                }
                hand_over(&mut ready, &outlet).await;
            }
        });
    }
    let sweeper = tokio::spawn(sweep_over(batches.clone(), outlet.clone()));
    workers.join_all().await;
    sweeper.abort();
    let _cancelled = sweeper.await;

    let mut ready = Vec::new();
    batches
        .lock()
        .expect("no push panics")
        .close_all(&mut ready);
    hand_over(&mut ready, &outlet).await;
    drop(outlet);
    batch_tasks.join_all().await;
    ledger.tally()
}

async fn sweep_over<K: Eq + Hash>(
    batches: Arc<Mutex<Batches<K, Carried>>>,
    outlet: Sender<Vec<Carried>>,
) {
    let mut sweep = interval(SWEEP);
    let mut ready = Vec::new();
    loop {
        sweep.tick().await;
        batches
            .lock()
            .expect("no push panics")
            .close_due(Instant::now(), &mut ready);
        hand_over(&mut ready, &outlet).await;
    }
}

async fn hand_over(ready: &mut Vec<Vec<Carried>>, outlet: &Sender<Vec<Carried>>) {
    for batch in ready.drain(..) {
        outlet
            .send(batch)
            .await
            .expect("the tasks outlive the workers");
    }
}

/// Simulates the batch handler, and settles by token.
async fn settle_batches(inlet: Receiver<Vec<Carried>>, ledger: Ledger) {
    while let Ok(batch) = inlet.recv().await {
        black_box(&batch);
        ledger.settle(batch.len(), batch.iter().map(|message| message.token).sum());
    }
}

/// The open batches, and the batches that are ready to be handled.
struct Batches<K, M> {
    open: HashMap<K, Batch<M>>,
}

struct Batch<M> {
    messages: Vec<M>,
    opened: Instant,
}

impl<K, M> Default for Batches<K, M> {
    fn default() -> Self {
        Self {
            open: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash, M> Batches<K, M> {
    /// Adds a message; a batch that it fills moves to `ready`.
    fn push(&mut self, key: K, message: M, now: Instant, ready: &mut Vec<Vec<M>>) {
        let batch = self.open.entry(key);
        let batch = batch.or_insert_with(|| Batch {
            messages: Vec::new(),
            opened: now,
        });
        if batch.messages.is_empty() {
            batch.opened = now;
        }
        batch.messages.push(message);
        if batch.messages.len() == BATCH_SIZE {
            // This key fills batches, so allocate the next one at once.
            ready.push(replace(&mut batch.messages, Vec::with_capacity(BATCH_SIZE)));
        }
    }

    /// Moves expired batches to `ready`, and removes keys without messages.
    fn close_due(&mut self, now: Instant, ready: &mut Vec<Vec<M>>) {
        self.open.retain(|_, batch| {
            let due = now.duration_since(batch.opened) >= BATCH_TIMEOUT;
            if due {
                ready.push(take(&mut batch.messages));
            }
            !due
        });
    }

    /// Moves all batches to `ready`.
    fn close_all(&mut self, ready: &mut Vec<Vec<M>>) {
        ready.extend(self.open.drain().map(|(_, batch)| batch.messages));
    }
}

/// Simulates the batch handler. It would be async, so no lock is held.
fn handle_batches(ready: &mut Vec<Vec<u64>>, ledger: &Ledger) {
    for batch in ready.drain(..) {
        ledger.settle(batch.len(), batch.iter().sum());
    }
}
