//! A limit of the compiler, which forgets what it knows of closures inside of a future that is spawned.

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
