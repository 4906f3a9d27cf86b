//! Hand-written tokio programs for the same work.
//!
//! Programs that send chunks fill them to 500 events, as stages do. A channel holds two chunks, as stages demand 1,000 events.
//! Consumers cannot come or go, there is no demand, and nothing can fail.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::scenarios::CONSUMERS;
use crate::support::workload::{Ledger, Tally, handle_id};

const CHUNK: usize = 500;
const CHUNKS: usize = 2;
const EVENTS: usize = CHUNK * CHUNKS;

const RECEIVER_LIVES: &str = "the receiver outlives the sender";

/// Three tasks, and channels of vectors between them.
pub(crate) async fn chunk_channels(events: u64) -> Tally {
    let ledger = Ledger::default();
    let (first, mut between) = mpsc::channel(CHUNKS);
    let (second, last) = mpsc::channel(CHUNKS);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for chunk in chunks(0..events) {
            first.send(chunk).await.expect(RECEIVER_LIVES);
        }
    });
    let forwarded = ledger.clone();
    tasks.spawn(async move {
        while let Some(chunk) = between.recv().await {
            forwarded.settle(chunk.len(), 0);
            second.send(chunk).await.expect(RECEIVER_LIVES);
        }
    });
    tasks.spawn(sum_chunks(last, ledger.clone()));
    tasks.join_all().await;
    ledger.tally()
}

/// Three tasks, and channels of events between them. Events are received in chunks.
pub(crate) async fn event_channels(events: u64) -> Tally {
    let ledger = Ledger::default();
    let (first, mut between) = mpsc::channel(EVENTS);
    let (second, mut last) = mpsc::channel(EVENTS);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for event in 0..events {
            first.send(event).await.expect(RECEIVER_LIVES);
        }
    });
    let forwarded = ledger.clone();
    tasks.spawn(async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        while between.recv_many(&mut chunk, CHUNK).await > 0 {
            forwarded.settle(chunk.len(), 0);
            for event in chunk.drain(..) {
                second.send(event).await.expect(RECEIVER_LIVES);
            }
        }
    });
    let summed = ledger.clone();
    tasks.spawn(async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        while last.recv_many(&mut chunk, CHUNK).await > 0 {
            summed.settle(chunk.len(), chunk.drain(..).map(handle_id).sum());
        }
    });
    tasks.join_all().await;
    ledger.tally()
}

/// A loop that spawns, and a semaphore that limits the number of tasks.
pub(crate) async fn semaphore(events: u64) -> Tally {
    let ledger = Ledger::default();
    let permits = Arc::new(Semaphore::new(EVENTS));
    for id in 0..events {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let permit = permit.expect("the semaphore stays open");
        let ledger = ledger.clone();
        tokio::spawn(async move {
            ledger.settle(1, handle_id(id));
            drop(permit);
        });
    }
    let all = u32::try_from(EVENTS).expect("few");
    let ended = permits.acquire_many(all).await;
    ended.expect("the semaphore stays open").forget();
    ledger.tally()
}

/// Vectors that four tasks share. Each task has a channel of its own.
pub(crate) async fn shared_chunks(events: u64) -> Tally {
    let ledger = Ledger::default();
    let mut tasks = JoinSet::new();
    let mut channels = Vec::new();
    for _ in 0..CONSUMERS {
        let (sender, mut receiver) = mpsc::channel::<Arc<Vec<u64>>>(CHUNKS);
        channels.push(sender);
        let ledger = ledger.clone();
        tasks.spawn(async move {
            while let Some(chunk) = receiver.recv().await {
                ledger.settle(chunk.len(), chunk.iter().copied().map(handle_id).sum());
            }
        });
    }
    tasks.spawn(async move {
        for chunk in chunks(0..events) {
            let chunk = Arc::new(chunk);
            for channel in &channels {
                channel
                    .send(Arc::clone(&chunk))
                    .await
                    .expect(RECEIVER_LIVES);
            }
        }
    });
    tasks.join_all().await;
    ledger.tally()
}

/// A vector and a channel for each of four tasks.
pub(crate) async fn chunk_per_key(events: u64) -> Tally {
    let ledger = Ledger::default();
    let mut tasks = JoinSet::new();
    let mut channels = Vec::new();
    for _ in 0..CONSUMERS {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        channels.push((Vec::with_capacity(CHUNK), sender));
        tasks.spawn(sum_chunks(receiver, ledger.clone()));
    }
    tasks.spawn(async move {
        for id in 0..events {
            let (chunk, channel) = &mut channels[(id % CONSUMERS) as usize];
            chunk.push(id);
            if chunk.len() == CHUNK {
                let full = std::mem::replace(chunk, Vec::with_capacity(CHUNK));
                channel.send(full).await.expect(RECEIVER_LIVES);
            }
        }
        for (rest, channel) in channels {
            channel.send(rest).await.expect(RECEIVER_LIVES);
        }
    });
    tasks.join_all().await;
    ledger.tally()
}

async fn sum_chunks(mut chunks: mpsc::Receiver<Vec<u64>>, ledger: Ledger) {
    while let Some(chunk) = chunks.recv().await {
        ledger.settle(chunk.len(), chunk.into_iter().map(handle_id).sum());
    }
}

/// Splits the events into vectors of one chunk each.
fn chunks(mut events: std::ops::Range<u64>) -> impl Iterator<Item = Vec<u64>> + Send {
    std::iter::from_fn(move || {
        let chunk: Vec<u64> = events.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
