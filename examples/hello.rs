//! How small can a pipeline be?
//!
//! Run: `cargo run --example hello`
//!
//! Prints a hundred lines in no particular order, since several processors run concurrently, and then
//! `100 handled, 0 failed`.

use broadway::{BoxError, Message, Pipeline, handler_fn, source};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let source = source::from_iter(|_producer| 1..=100_u64);
    let handler = handler_fn(|message: &mut Message<u64>| {
        println!("hello, number {}", message.data());
        Ok(())
    });
    let totals = Pipeline::new(source, handler).start().await?.wait().await?;
    println!("{} handled, {} failed", totals.done, totals.failed);
    Ok(())
}
