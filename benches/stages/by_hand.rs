//! Hand-written tokio programs for the same work.
//!
//! Chunks are filled to 500 events, like the chunks of stages; a channel holds two of them, like the demand of 1,000. Consumers cannot
//! come and go, there is no demand, and events cannot fail.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::scenarios::CONSUMERS;
use crate::support::workload::{Ledger, Tally, handle_id};

const CHUNK: usize = 500;
const CHUNKS: usize = 2;
const EVENTS: usize = CHUNK * CHUNKS;

const LISTENS: &str = "the receiver outlives the sender";

/// Three tasks, and channels of vectors between them.
pub(crate) async fn chunk_channels(events: u64) -> Tally {
    let ledger = Ledger::default();
    let (first, mut between) = mpsc::channel(CHUNKS);
    let (second, last) = mpsc::channel(CHUNKS);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for chunk in chunks(0..events) {
            first.send(chunk).await.expect(LISTENS);
        }
    });
    let forwarded = ledger.clone();
    tasks.spawn(async move {
        while let Some(chunk) = between.recv().await {
            forwarded.settle(chunk.len(), 0);
            second.send(chunk).await.expect(LISTENS);
        }
    });
    tasks.spawn(sum_chunks(last, ledger.clone()));
    tasks.join_all().await;
    ledger.tally()
}

/// Three tasks, and channels of events between them, which are received in chunks.
pub(crate) async fn event_channels(events: u64) -> Tally {
    let ledger = Ledger::default();
    let (first, mut between) = mpsc::channel(EVENTS);
    let (second, mut last) = mpsc::channel(EVENTS);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for event in 0..events {
            first.send(event).await.expect(LISTENS);
        }
    });
    let forwarded = ledger.clone();
    tasks.spawn(async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        while between.recv_many(&mut chunk, CHUNK).await > 0 {
            forwarded.settle(chunk.len(), 0);
            for event in chunk.drain(..) {
                second.send(event).await.expect(LISTENS);
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

/// A loop that spawns a task for each event, bounded by a semaphore.
pub(crate) async fn semaphore(events: u64) -> Tally {
    let ledger = Ledger::default();
    let permits = Arc::new(Semaphore::new(EVENTS));
    for id in 0..events {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let ledger = ledger.clone();
        tokio::spawn(async move {
            ledger.settle(1, handle_id(id));
            drop(permit);
        });
    }
    let all = u32::try_from(EVENTS).expect("few");
    let ended = permits.acquire_many(all).await;
    ended.expect("the semaphore is never closed").forget();
    ledger.tally()
}

/// Shared vectors, sent to four tasks over a channel each.
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
                channel.send(Arc::clone(&chunk)).await.expect(LISTENS);
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
                channel.send(full).await.expect(LISTENS);
            }
        }
        for (rest, channel) in channels {
            channel.send(rest).await.expect(LISTENS);
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

/// The events, in vectors of one chunk each.
fn chunks(mut events: std::ops::Range<u64>) -> impl Iterator<Item = Vec<u64>> + Send {
    std::iter::from_fn(move || {
        let chunk: Vec<u64> = events.by_ref().take(CHUNK).collect();
        (!chunk.is_empty()).then_some(chunk)
    })
}
