//! What one broker understands, another does not.

use broadway_core::{Message, Record};

struct Letter;

enum OnFailure {
    Retry,
}

impl Record for Letter {
    type AckOptions = OnFailure;

    fn payload(&self) -> &[u8] {
        &[]
    }
}

enum Requeue {
    Never,
}

fn configure(message: &mut Message<Letter>) {
    message.configure_ack(OnFailure::Retry);
    message.configure_ack(Requeue::Never);
}

fn main() {}
