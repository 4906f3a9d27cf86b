//! A channel per worker, selected by the hash of the message's key, so that keys keep their order.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::CAPACITY;
use super::processors::Workers;
use crate::support::workload::{Ledger, Tally, handle_id};

/// The feeder hashes and sends single messages.
pub(crate) async fn hashed_channels(messages: u64, workers: Workers, key: fn(u64) -> u64) -> Tally {
    let ledger = Ledger::default();
    let mut outlets = Vec::new();
    let mut tasks = JoinSet::new();
    for _ in 0..workers.count {
        let (outlet, mut inlet) = mpsc::channel(CAPACITY);
        outlets.push(outlet);
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut chunk = Vec::with_capacity(workers.chunk);
            while inlet.recv_many(&mut chunk, workers.chunk).await > 0 {
                let count = chunk.len();
                let checksum = chunk.drain(..).map(handle_id).sum();
                ledger.settle(count, checksum);
            }
        });
    }
    tasks.spawn(async move {
        let hasher = RandomState::new();
        for id in 0..messages {
            let lane = hasher.hash_one(key(id)) as usize % outlets.len();
            outlets[lane]
                .send(id)
                .await
                .expect("the workers outlive the feeder");
        }
    });
    tasks.join_all().await;
    ledger.tally()
}
