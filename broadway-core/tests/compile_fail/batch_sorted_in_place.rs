//! Sorted data would no longer belong to its messages: sort rows instead.

use broadway_core::Batch;

fn upsert(batch: &mut Batch<u64>) {
    batch.data_mut().sort();
}

fn main() {}
