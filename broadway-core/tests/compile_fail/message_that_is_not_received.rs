//! A stage is sent only messages that it receives.

use broadway_core::stage;

async fn start() {
    let numbers = stage::from_iter(0..10_u64).start().await.unwrap();
    drop(numbers.cast("hello"));
}

fn main() {
    drop(start());
}
