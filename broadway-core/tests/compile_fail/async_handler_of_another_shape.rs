//! An async handler returns a future of `Result<(), BoxError>`.

use broadway_core::{Message, handler_fn_async};

async fn save(_: u64) {}

fn main() {
    let _ = handler_fn_async(|message: &mut Message<u64>| {
        println!("{}", message.data());
        Ok(())
    });
    let _ = handler_fn_async(async |message: &mut Message<u64>| {
        save(*message.data()).await;
    });
}
