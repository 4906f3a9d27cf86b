//! The lower bound of the JSON scenarios: the decode loop alone, half of it on each worker thread.

use tokio::task::JoinSet;

use crate::support::workload::{Ledger, Tally, document};

/// Documents between two settlements and yields.
const CHUNK: u64 = 100;

/// No channel, no hand-over.
pub(crate) async fn loop_alone(messages: u64, handle: fn(&[u8]) -> u64) -> Tally {
    let ledger = Ledger::default();
    let mut tasks = JoinSet::new();
    for half in [0..messages / 2, messages / 2..messages] {
        let ledger = ledger.clone();
        tasks.spawn(async move {
            let mut next = half.start;
            while next < half.end {
                let chunk = next..half.end.min(next + CHUNK);
                next = chunk.end;
                let count = chunk.end - chunk.start;
                ledger.settle(count as usize, chunk.map(|id| handle(document(id))).sum());
                tokio::task::consume_budget().await;
            }
        });
    }
    tasks.join_all().await;
    ledger.tally()
}
