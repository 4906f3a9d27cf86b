//! Stages that are started, or subscribed to, and dropped in one statement.
#![deny(unused_must_use)]

use broadway_core::{BoxError, stage};

async fn dropped_at_once() -> Result<(), BoxError> {
    let numbers = stage::from_iter(0..10).start().await?;
    stage::from_iter(0..10).start().await?;
    stage::map(|n: u64| n + 1).start().await?;
    stage::for_each(|_: u64| async { Ok(()) }).start().await?;
    stage::task_per_event(|_: u64| async { Ok(()) }).start().await?;
    numbers.output().stream()?;
    Ok(())
}

fn main() {
    drop(dropped_at_once());
}
