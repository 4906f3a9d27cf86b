//! A position says nothing once rows were sorted: a row is failed, not a position.

use broadway_core::Batch;

fn check(batch: &mut Batch<u64>) {
    batch.fail(0, "bad row");
}

fn main() {}
