//! A pipeline that is started and dropped in one statement, and pipelines that are not started.
#![deny(unused_must_use)]

use broadway_core::{BoxError, Message, Pipeline, handler_fn, source};

async fn dropped_at_once() -> Result<(), BoxError> {
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    Pipeline::new(source::idle(), handler).start().await?;
    Ok(())
}

fn not_started() {
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    Pipeline::new(source::idle(), handler).start();
    Pipeline::new(source::idle(), handler_fn(|_: &mut Message<u64>| Ok(()))).name("unused");
    handler_fn(|_: &mut Message<u64>| Ok(()));
}

fn main() {
    drop(dropped_at_once());
    not_started();
}
