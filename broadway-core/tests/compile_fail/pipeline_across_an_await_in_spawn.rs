//! A limit of the compiler: it forgets lifetimes of closures inside a spawned future.

use broadway_core::{Message, Pipeline, handler_fn, source};

fn main() {
    tokio::spawn(async {
        let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
        let pipeline = Pipeline::new(source::idle(), handler);
        tokio::task::yield_now().await;
        let topology = pipeline.start().await.unwrap();
        topology.wait().await.unwrap();
    });
}
