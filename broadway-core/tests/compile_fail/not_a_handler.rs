//! A closure is not a handler until it is wrapped.

use broadway_core::{BoxError, Message, Pipeline, source};

fn handle(_message: &mut Message<u64>) -> Result<(), BoxError> {
    Ok(())
}

fn main() {
    let source = source::from_iter(|_producer| 0..3_u64);
    let _ = Pipeline::new(source, handle);
}
