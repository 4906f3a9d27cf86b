//! A closure cannot return what it borrows; it can return the hash of it, `KeyHash::of(message.data().as_str())`.

use broadway_core::{Message, Processors};

fn main() {
    let _ = Processors::new(1).partition_by(|message: &Message<String>| message.data().as_str());
}
