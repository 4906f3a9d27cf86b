//! Messages are made by the engine only, each for one delivery.

use broadway_core::Message;

fn main() {
    let _ = Message::new(1_u64);
}
