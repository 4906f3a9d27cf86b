//! Layers: handlers around a handler.

mod circuit_breaker;
mod circuit_probes;
mod quota_and_duplicates;
mod timeout;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use broadway_core::{
    Batching, BoxError, Chunk, Failed, Handler, HandlerExt, Message, Next, RunningPipeline,
    StartError,
    layer::{CircuitBreaker, Layer, Timeout},
    testing::Collector,
};

use crate::common::{SECOND, Script, Sink, fed, outcomes};

/// A service that can be cut off.
#[derive(Clone, Default)]
struct Downstream {
    is_out: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Downstream {
    fn call(&self) -> Result<(), BoxError> {
        self.calls.fetch_add(1, Relaxed);
        match self.is_out.load(Relaxed) {
            true => Err("connection refused".into()),
            false => Ok(()),
        }
    }

    fn cut_off(&self, is_out: bool) {
        self.is_out.store(is_out, Relaxed);
    }

    fn take_calls(&self) -> usize {
        self.calls.swap(0, Relaxed)
    }
}

/// A layer that overrides one callback.
struct Named(&'static str, Collector<String>);

impl<H: Handler> Layer<H> for Named {
    async fn handle_message(
        &self,
        inner: &H,
        message: &mut Message<H::In>,
    ) -> Result<Next<H::Out, H::Batcher>, BoxError> {
        self.1.push(format!("{} begins", self.0));
        let next = inner.handle_message(message).await;
        self.1.push(format!("{} ends", self.0));
        next
    }
}

#[tokio::test(start_paused = true)]
async fn the_layer_added_last_is_the_outermost() {
    let seen = Collector::new();
    let handler = Script::<u64>::new()
        .layer(Named("first", seen.clone()))
        .layer(Named("last", seen.clone()));
    let (pipeline, feed) = fed(handler);
    let topology = pipeline.start().await.unwrap();
    assert!(outcomes([feed.push(1)]).await[0].is_done());
    assert_eq!(
        seen.all(),
        ["last begins", "first begins", "first ends", "last ends"]
    );
    topology.drain().await.unwrap();
}

/// Notes every callback.
struct Noting(Collector<&'static str>);

impl Handler for Noting {
    type In = u64;
    type Out = u64;
    type Batcher = Sink;

    async fn prepare_messages(&self, _: &mut Chunk<'_, u64>) -> Result<(), BoxError> {
        self.0.push("prepare_messages");
        Ok(())
    }

    async fn handle_message(
        &self,
        message: &mut Message<u64>,
    ) -> Result<Next<u64, Sink>, BoxError> {
        self.0.push("handle_message");
        Ok(Next::batch(Sink::One, *message.data()))
    }

    async fn handle_batch(
        &self,
        _: Sink,
        _: &mut broadway_core::Batch<u64>,
    ) -> Result<(), BoxError> {
        self.0.push("handle_batch");
        Err("no".into())
    }

    async fn handle_failed(&self, _: &mut [Failed<u64, u64>]) {
        self.0.push("handle_failed");
    }

    fn on_start(&self, _: &RunningPipeline) {
        self.0.push("on_start");
    }
}

#[tokio::test(start_paused = true)]
async fn all_callbacks_pass_through_layers() {
    let seen = Collector::new();
    let handler = Noting(seen.clone())
        .layer(Named("layer", Collector::new()))
        .layer(Timeout::of_message(SECOND))
        .layer(CircuitBreaker::new());
    let (pipeline, feed) = fed(handler);
    let topology = pipeline
        .batchers(|_| Batching::new(1, SECOND))
        .start()
        .await
        .unwrap();
    assert!(outcomes([feed.push(1)]).await[0].is_failed());
    assert_eq!(
        seen.all(),
        [
            "on_start",
            "prepare_messages",
            "handle_message",
            "handle_batch",
            "handle_failed"
        ]
    );
    topology.drain().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn invalid_options_of_all_layers_are_reported_at_the_start() {
    let breaker = CircuitBreaker::new()
        .failures(0)
        .failing_share(101, 0)
        .probe_interval(SECOND / 1_000);
    let handler = Script::<u64>::new()
        .layer(Timeout::of_message(Duration::ZERO).batch(Duration::ZERO))
        .layer(breaker);
    let (pipeline, _feed) = fed(handler);
    let error = pipeline.start().await.unwrap_err();
    let StartError::Invalid(problems) = error else {
        panic!("{error}");
    };
    let options: Vec<_> = problems.iter().map(|problem| problem.option()).collect();
    assert_eq!(
        options,
        [
            "handler.circuit_breaker.failures",
            "handler.circuit_breaker.failing_share.percent",
            "handler.circuit_breaker.failing_share.calls",
            "handler.circuit_breaker.probe_interval",
            "handler.timeout.message",
            "handler.timeout.batch"
        ]
    );
}
