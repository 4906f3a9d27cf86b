//! A message cannot be cloned: it would be acknowledged twice.

use broadway_core::Message;

fn twice(message: &Message<u64>) -> Message<u64> {
    message.clone()
}

fn main() {}
