//! A message is lent to a handler: it cannot be moved out, nor its item.

use broadway_core::Message;

fn message(message: &mut Message<String>) -> Message<String> {
    *message
}

fn item(message: &mut Message<String>) -> String {
    *message.data()
}

fn main() {}
