//! One task feeds a bounded channel, and several workers receive from it.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::CAPACITY;
use crate::support::workload::{Ledger, Tally};

/// The number of workers, and of messages that one receives at a time.
#[derive(Clone, Copy)]
pub(crate) struct Workers {
    pub(crate) count: usize,
    pub(crate) chunk: usize,
}

/// A receiver that the workers share.
pub(crate) type Shared<T> = Arc<Mutex<mpsc::Receiver<T>>>;

/// tokio's channel behind a mutex. The worker that holds the lock receives a chunk with `recv_many`.
pub(crate) async fn recv_many<T: Send + 'static>(
    messages: impl Iterator<Item = T> + Send + 'static,
    workers: Workers,
    handle: impl Fn(T) -> u64 + Copy + Send + 'static,
) -> Tally {
    let ledger = Ledger::default();
    let inlet = feed(messages);
    let mut tasks = JoinSet::new();
    for _ in 0..workers.count {
        let (inlet, ledger) = (inlet.clone(), ledger.clone());
        tasks.spawn(async move {
            let mut chunk = Vec::with_capacity(workers.chunk);
            while take_chunk(&inlet, &mut chunk, workers.chunk).await {
                let count = chunk.len();
                let checksum = chunk.drain(..).map(handle).sum();
                ledger.settle(count, checksum);
            }
        });
    }
    tasks.join_all().await;
    ledger.tally()
}

/// A multi-consumer channel: awaits one message, then receives the available ones.
pub(crate) async fn async_channel<T: Send + 'static>(
    messages: impl Iterator<Item = T> + Send + 'static,
    workers: Workers,
    handle: impl Fn(T) -> u64 + Copy + Send + 'static,
) -> Tally {
    let ledger = Ledger::default();
    let (outlet, inlet) = async_channel::bounded(CAPACITY);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for message in messages {
            outlet
                .send(message)
                .await
                .expect("the workers outlive the feeder");
        }
    });
    for _ in 0..workers.count {
        let (inlet, ledger) = (inlet.clone(), ledger.clone());
        tasks.spawn(async move {
            while let Ok(first) = inlet.recv().await {
                let (mut count, mut checksum) = (1, handle(first));
                while count < workers.chunk
                    && let Ok(message) = inlet.try_recv()
                {
                    count += 1;
                    checksum += handle(message);
                }
                ledger.settle(count, checksum);
            }
        });
    }
    tasks.join_all().await;
    ledger.tally()
}

/// For scale: the feeder fills whole vectors and sends them.
///
/// It does not compete, since a message waits until its chunk is full, however slow the source
/// is.
pub(crate) async fn full_chunks<T: Send + 'static>(
    mut messages: impl Iterator<Item = T> + Send + 'static,
    workers: Workers,
    handle: impl Fn(T) -> u64 + Copy + Send + 'static,
) -> Tally {
    let ledger = Ledger::default();
    let (outlet, inlet) = async_channel::bounded::<Vec<T>>(CAPACITY.div_ceil(workers.chunk));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let chunk: Vec<T> = messages.by_ref().take(workers.chunk).collect();
            if chunk.is_empty() {
                break;
            }
            outlet
                .send(chunk)
                .await
                .expect("the workers outlive the feeder");
        }
    });
    for _ in 0..workers.count {
        let (inlet, ledger) = (inlet.clone(), ledger.clone());
        tasks.spawn(async move {
            while let Ok(chunk) = inlet.recv().await {
                let count = chunk.len();
                let checksum = chunk.into_iter().map(handle).sum();
                ledger.settle(count, checksum);
            }
        });
    }
    tasks.join_all().await;
    ledger.tally()
}

/// Starts the task that sends every message and then closes the channel.
pub(crate) fn feed<T: Send + 'static>(
    messages: impl Iterator<Item = T> + Send + 'static,
) -> Shared<T> {
    let (outlet, inlet) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        for message in messages {
            if outlet.send(message).await.is_err() {
                break;
            }
        }
    });
    Arc::new(Mutex::new(inlet))
}

/// Receives up to a chunk. Returns `false` at the end of the stream.
pub(crate) async fn take_chunk<T>(inlet: &Shared<T>, chunk: &mut Vec<T>, limit: usize) -> bool {
    inlet.lock().await.recv_many(chunk, limit).await > 0
}
