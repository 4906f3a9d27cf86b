//! An error that cannot be sent to another thread does not become a `BoxError` by itself.

use broadway_core::{Message, handler_fn};

fn parse(text: &str) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(text.parse()?)
}

fn main() {
    let _ = handler_fn(|message: &mut Message<String>| {
        parse(message.data())?;
        Ok(())
    });
}
