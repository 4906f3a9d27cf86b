//! A consumer has no output.

use broadway_core::stage;

async fn start() {
    let first = stage::for_each(|_: u64| async { Ok(()) });
    let first = first.start().await.unwrap();
    let second = stage::for_each(|_: u64| async { Ok(()) });
    let _ = second.subscribe_to(first.output());
}

fn main() {
    drop(start());
}
