//! A stage subscribes only to outputs of the events that it receives.

use broadway_core::stage;

async fn start() {
    let numbers = stage::from_iter(0..10_u64).start().await.unwrap();
    let lengths = stage::map(|text: String| text.len());
    let _ = lengths.subscribe_to(numbers.output()).start().await;
}

fn main() {
    drop(start());
}
