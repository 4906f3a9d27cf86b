//! A `Vec` is data, not a source.

use broadway_core::{Message, Pipeline, handler_fn};

fn main() {
    let handler = handler_fn(|_message: &mut Message<u64>| Ok(()));
    let _ = Pipeline::new(vec![1_u64, 2, 3], handler);
}
