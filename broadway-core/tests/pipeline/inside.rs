//! Handlers that use the handle of their own pipeline: calls that would wait for themselves are refused.

use std::sync::{Arc, OnceLock};

use broadway_core::{
    Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, Processors, RunError,
    Topology, handler_fn_async,
    testing::{Collector, Feed, ManualSource, manual_source},
};

use crate::common::{SECOND, outcomes};

type Handle = Arc<OnceLock<Topology<u64>>>;

/// Starts a pipeline, and gives its handle to its handler.
async fn started<H: Handler<In = u64>>(handle: &Handle, handler: H) -> Feed<u64> {
    let (source, feed): (ManualSource<u64>, _) = manual_source();
    let pipeline = Pipeline::new(source, handler)
        .processors(Processors::new(2))
        .batchers(|_| Batching::new(1, SECOND));
    handle.set(pipeline.start().await.unwrap()).unwrap();
    feed
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_end_in_a_handler_is_refused() {
    let (handle, errors) = (Handle::default(), Collector::new());
    let handler = handler_fn_async({
        let (handle, errors) = (Arc::clone(&handle), errors.clone());
        async move |_: &mut Message<u64>| {
            let topology = handle.get().unwrap();
            // After a yield: the processor polls a handler that has to wait in another place.
            tokio::task::yield_now().await;
            for ended in [
                topology.wait().await,
                topology.drain().await,
                topology.drain_within(SECOND).await,
                topology.wait_or_signal().await,
            ] {
                errors.push(ended.unwrap_err());
            }
            Ok(())
        }
    });
    let feed = started(&handle, handler).await;
    assert!(outcomes([feed.push(1)]).await[0].is_done());
    let errors = errors.all();
    assert_eq!(errors.len(), 4);
    for error in errors {
        assert!(matches!(error, RunError::InsideHandler), "{error}");
        assert!(error.to_string().contains("begin_drain"), "{error}");
    }
    // No drain has begun.
    assert!(outcomes([feed.push(2)]).await[0].is_done());
    handle.get().unwrap().drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_begin_a_drain() {
    let handle = Handle::default();
    let handler = handler_fn_async({
        let handle = Arc::clone(&handle);
        async move |_: &mut Message<u64>| {
            handle.get().unwrap().begin_drain();
            Ok(())
        }
    });
    let feed = started(&handle, handler).await;
    let receipt = feed.push(1);
    assert_eq!(handle.get().unwrap().wait().await.unwrap().done, 1);
    assert!(receipt.outcome().await.unwrap().is_done());
}

/// Waits for the end of its own pipeline in `handle_batch`.
struct Batches {
    handle: Handle,
    errors: Collector<RunError>,
}

impl Handler for Batches {
    type In = u64;
    type Out = u64;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, OneBatcher>, BoxError> {
        Ok(Next::batch(OneBatcher, *message.data()))
    }

    async fn handle_batch(
        &self,
        _: OneBatcher,
        _: &mut broadway_core::Batch<u64>,
    ) -> Result<(), BoxError> {
        let ended = self.handle.get().unwrap().drain().await;
        self.errors.push(ended.unwrap_err());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_end_in_a_batch_handler_is_refused() {
    let (handle, errors) = (Handle::default(), Collector::new());
    let handler = Batches {
        handle: Arc::clone(&handle),
        errors: errors.clone(),
    };
    let feed = started(&handle, handler).await;
    assert!(outcomes([feed.push(1)]).await[0].is_done());
    assert!(matches!(errors.all()[..], [RunError::InsideHandler]));
    handle.get().unwrap().drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_abort_its_pipeline() {
    let handle = Handle::default();
    let handler = handler_fn_async({
        let handle = Arc::clone(&handle);
        async move |_: &mut Message<u64>| {
            let ended = handle.get().unwrap().abort().await;
            unreachable!("the handler is dropped where it waits: {ended:?}")
        }
    });
    let feed = started(&handle, handler).await;
    let receipt = feed.push(1);
    let error = handle.get().unwrap().wait().await.unwrap_err();
    assert!(
        matches!(error, RunError::Aborted { unsettled: 1 }),
        "{error}"
    );
    drop(receipt);
}
