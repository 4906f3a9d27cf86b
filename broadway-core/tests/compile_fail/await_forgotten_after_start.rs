//! `start` returns a future, which must be awaited.

use broadway_core::{BoxError, Message, Pipeline, handler_fn, source};

async fn waits() -> Result<(), BoxError> {
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let topology = Pipeline::new(source::idle(), handler).start();
    topology.wait().await?;
    Ok(())
}

async fn asks() -> Result<(), BoxError> {
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let topology = Pipeline::new(source::idle(), handler).start()?;
    topology.wait().await?;
    Ok(())
}

fn main() {
    drop((waits(), asks()));
}
