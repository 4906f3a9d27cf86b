//! `Batch::fail` takes a row, not a position: positions change when rows are sorted.

use broadway_core::Batch;

fn check(batch: &mut Batch<u64>) {
    batch.fail(0, "bad row");
}

fn main() {}
