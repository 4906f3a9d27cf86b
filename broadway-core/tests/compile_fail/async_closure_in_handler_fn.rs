//! `handler_fn` is for functions that do not wait.

use broadway_core::{Message, handler_fn};

async fn save(_: u64) {}

fn main() {
    let _ = handler_fn(async |message: &mut Message<u64>| {
        save(*message.data()).await;
        Ok(())
    });
    let _ = handler_fn(|message: &mut Message<u64>| println!("{}", message.data()));
}
