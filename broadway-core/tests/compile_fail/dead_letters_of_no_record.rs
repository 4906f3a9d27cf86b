//! A dead letter is a copy of a record, which a number is not.

use broadway_core::{DeadLetters, Message, handler_fn, testing::RecordingPublisher};

fn main() {
    let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
    let _ = DeadLetters::of(handler, RecordingPublisher::new());
}
