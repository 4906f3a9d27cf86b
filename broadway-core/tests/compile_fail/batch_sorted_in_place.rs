//! Data that was sorted would no longer belong to its messages: rows can be sorted instead.

use broadway_core::Batch;

fn upsert(batch: &mut Batch<u64>) {
    batch.data_mut().sort();
}

fn main() {}
