//! Only the engine creates messages, each for one delivery.

use broadway_core::Message;

fn main() {
    let _ = Message::new(1_u64);
}
