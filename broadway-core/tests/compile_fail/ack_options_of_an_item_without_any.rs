//! A number did not come from a connector: there is nothing to configure.

use broadway_core::{Message, NoAckOptions};

fn configure(message: &mut Message<u64>, options: NoAckOptions) {
    message.configure_ack(options);
}

fn main() {}
