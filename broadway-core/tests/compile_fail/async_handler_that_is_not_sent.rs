//! What an async handler holds across an await moves between threads.

use std::rc::Rc;

use broadway_core::{Message, handler_fn_async};

async fn save(_: u64) {}

fn main() {
    let _ = handler_fn_async(async |message: &mut Message<u64>| {
        let shared = Rc::new(*message.data());
        save(1).await;
        save(*shared).await;
        Ok(())
    });
}
