//! The source delivers text, the handler takes numbers.

use broadway_core::{Message, Pipeline, handler_fn, source};

fn main() {
    let source = source::from_iter(|_producer| [String::new()].into_iter());
    let handler = handler_fn(|_message: &mut Message<u64>| Ok(()));
    let _ = Pipeline::new(source, handler);
}
