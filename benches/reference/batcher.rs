//! Two workers, then one task that collects batches and handles them in place.

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::processors::{Workers, feed, take_chunk};
use super::{BATCH_TIMEOUT, CAPACITY};
use crate::support::workload::{Ledger, Tally, handle_id};

const WORKERS: Workers = Workers {
    count: 2,
    chunk: 100,
};

/// The usual stream adaptor.
pub(crate) async fn chunks_timeout(messages: u64, batch_size: usize) -> Tally {
    let ledger = Ledger::default();
    let batches = ReceiverStream::new(processed(messages));
    let mut batches = std::pin::pin!(batches.chunks_timeout(batch_size, BATCH_TIMEOUT));
    while let Some(batch) = batches.next().await {
        ledger.settle(batch.len(), batch.iter().sum());
    }
    ledger.tally()
}

/// A hand-written loop: receives into the batch until it is full or its timeout expires.
pub(crate) async fn recv_until(messages: u64, batch_size: usize) -> Tally {
    let ledger = Ledger::default();
    let mut inlet = processed(messages);
    let mut batch: Vec<u64> = Vec::with_capacity(batch_size);
    let mut ended = false;
    while !ended {
        ended = inlet.recv_many(&mut batch, batch_size).await == 0;
        let deadline = Instant::now() + BATCH_TIMEOUT;
        while !ended && batch.len() < batch_size {
            let room = batch_size - batch.len();
            match timeout_at(deadline, inlet.recv_many(&mut batch, room)).await {
                Ok(received) => ended = received == 0,
                Err(_too_late) => break,
            }
        }
        ledger.settle(batch.len(), batch.iter().sum());
        batch.clear();
    }
    ledger.tally()
}

/// Starts feeder and workers. Handled messages arrive one by one.
fn processed(messages: u64) -> mpsc::Receiver<u64> {
    let (outlet, inlet) = mpsc::channel(CAPACITY);
    let source = feed(0..messages);
    let mut tasks = JoinSet::new();
    for _ in 0..WORKERS.count {
        let (source, outlet) = (source.clone(), outlet.clone());
        tasks.spawn(async move {
            let mut chunk = Vec::with_capacity(WORKERS.chunk);
            while take_chunk(&source, &mut chunk, WORKERS.chunk).await {
                for id in chunk.drain(..).map(handle_id) {
                    outlet
                        .send(id)
                        .await
                        .expect("the batcher outlives the workers");
                }
            }
        });
    }
    tasks.detach_all();
    inlet
}
