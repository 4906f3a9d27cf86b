//! Handlers that block their thread let other tasks of the runtime run between two messages.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use broadway_core::{
    Batch, Batching, Message, Next, OneBatcher, Pipeline, Processors, handler_fn, source,
};
use tokio::task::yield_now;

/// Holds the thread, as a synchronous driver does.
fn block() {
    let (_never, answer) = mpsc::channel::<()>();
    let _ = answer.recv_timeout(Duration::from_millis(10));
}

/// How many messages were handled when another task ran for the first time since handling began.
async fn handled_before_another_task_ran(handled: &AtomicUsize) -> usize {
    loop {
        yield_now().await;
        match handled.load(Ordering::Relaxed) {
            0 => {}
            handled => return handled,
        }
    }
}

#[tokio::test]
async fn a_handler_that_blocks_lets_others_run_between_two_messages() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let handler = handler_fn(move |_: &mut Message<u32>| {
        block();
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(())
    });
    let topology = Pipeline::new(source::from_iter(|_| 0..200), handler)
        .processors(Processors::new(1))
        .start()
        .await
        .unwrap();
    let before = handled_before_another_task_ran(&handled).await;
    assert!(
        before < 20,
        "{before} messages were handled before anyone else ran"
    );
    assert!(topology.abort().await.is_err());
}

#[tokio::test]
async fn a_batch_that_blocks_lets_others_run_before_the_next() {
    let handled = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&handled);
    let handler = handler_fn(|_: &mut Message<u32>| Ok(())).batch(
        |message: &mut Message<u32>| Ok(Next::batch(OneBatcher, *message.data())),
        async move |_: &mut Batch<u32>| {
            block();
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(())
        },
    );
    let topology = Pipeline::new(source::from_iter(|_| 0..200), handler)
        .processors(Processors::new(1))
        .batchers(|_| Batching::new(1, Duration::from_secs(1)))
        .start()
        .await
        .unwrap();
    let before = handled_before_another_task_ran(&handled).await;
    assert!(
        before < 20,
        "{before} batches were handled before anyone else ran"
    );
    assert!(topology.abort().await.is_err());
}
