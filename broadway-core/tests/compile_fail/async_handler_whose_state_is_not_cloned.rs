//! What an async handler captures is cloned for each message.

use std::sync::atomic::{AtomicU64, Ordering};

use broadway_core::{Message, handler_fn_async};

async fn save(_: u64) {}

fn main() {
    let count = AtomicU64::new(0);
    let _ = handler_fn_async(async move |message: &mut Message<u64>| {
        save(*message.data()).await;
        count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
}
