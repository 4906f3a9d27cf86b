//! The output of a partition dispatcher is that of a partition.

use broadway_core::{machine::dispatch::Partition, stage};

async fn start() {
    let by_parity = Partition::new(2, |n: &u64| Some((*n % 2) as usize));
    let numbers = stage::from_iter(0..10_u64).dispatcher(by_parity);
    let numbers = numbers.start().await.unwrap();
    let _ = numbers.partition(0);
    let _ = numbers.output();
}

fn main() {
    drop(start());
}
