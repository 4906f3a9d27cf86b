//! Ends of flows that wait: publishers, and async functions.

use std::{future::Future, time::Duration};

use broadway_core::{
    BoxError, Outgoing, PublishErrorKind, Publisher,
    connector::{Backoff, Jitter},
};

use super::{Flow, boundary::RoundRobin};
use crate::{
    FlowError, FlowErrorKind, Report, RunFlowError, RunningFlow,
    chain::Chain,
    plan::Plan,
    run::{Deliver, start, start_delivery},
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Starts the flow, and publishes its events. Up to several thousand are published at once, in their order, and the next when all of them are confirmed. With an
    /// acknowledged source, messages are settled after their results are confirmed.
    ///
    /// Events that are not confirmed are published again after a pause of 0.1 to 5 s, up to 10 times in a row; a message that is refused ends the flow. The
    /// publisher is flushed at the end, and not closed.
    ///
    /// ```
    /// use broadway_core::{Outgoing, testing::RecordingPublisher};
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let publisher = RecordingPublisher::new();
    /// let flow = Flow::from_iter(["tea", "milk"]);
    /// let mut running = flow.into_publisher(publisher.clone(), |item| Outgoing::new(item)).await?;
    /// running.wait().await?;
    /// assert_eq!(publisher.sent().len(), 2);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn into_publisher<P, F>(
        self,
        publisher: P,
        message: F,
    ) -> Result<RunningFlow, RunFlowError>
    where
        P: Publisher,
        F: FnMut(T) -> Outgoing + Send + 'static,
    {
        self.deliver("publisher", Publish { publisher, message })
            .await
    }

    /// Runs the flow, and calls `f` with its events, up to several thousand at once, in their order. The next are passed when the future is complete. The first error
    /// ends the flow. With an acknowledged source, messages are settled after the future of their results is complete.
    ///
    /// If the flow fails elsewhere, a future that runs has 30 s to complete; then it is dropped.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn for_each_batch<F, R, E>(self, f: F) -> Result<Report, RunFlowError>
    where
        F: FnMut(Vec<T>) -> R + Send + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let mut running = self.deliver("for_each_batch", Call(f)).await?;
        Ok(running.wait().await?)
    }

    async fn deliver<D: Deliver<T>>(
        self,
        name: &str,
        deliver: D,
    ) -> Result<RunningFlow, RunFlowError> {
        let options = self.options.clone();
        let state = options.state().await?;
        let last = self.route(RoundRobin::new);
        let plan = Plan::of(&last);
        let mut stages = start(last, true, &state).await?;
        start_delivery::<T, D>(&mut stages, deliver, name, &state).await?;
        RunningFlow::begin(stages, state, plan, &options).await
    }
}

/// An async function.
struct Call<F>(F);

impl<T, F, R, E> Deliver<T> for Call<F>
where
    T: Send + 'static,
    F: FnMut(Vec<T>) -> R + Send + 'static,
    R: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    async fn deliver(&mut self, events: Vec<T>) -> Result<(), FlowError> {
        let called = (self.0)(events).await;
        called.map_err(|error| FlowError::new("for_each_batch", FlowErrorKind::Error, error))
    }
}

/// Publishes events.
struct Publish<P, F> {
    publisher: P,
    message: F,
}

/// How often messages are published that are not confirmed.
const ATTEMPTS_MAX: u32 = 10;
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

impl<T, P, F> Deliver<T> for Publish<P, F>
where
    T: Send + 'static,
    P: Publisher,
    F: FnMut(T) -> Outgoing + Send + 'static,
{
    async fn deliver(&mut self, events: Vec<T>) -> Result<(), FlowError> {
        let mut messages: Vec<Outgoing> = events.into_iter().map(&mut self.message).collect();
        let mut attempt = 1;
        loop {
            let results = self.publisher.publish(messages.clone()).await;
            let mut left = Vec::new();
            let mut last = None;
            for (message, result) in messages.into_iter().zip(results) {
                let Err(error) = result else { continue };
                let is_final = error.kind() == PublishErrorKind::Refused;
                if is_final || attempt == ATTEMPTS_MAX {
                    return Err(FlowError::new(
                        "into_publisher",
                        FlowErrorKind::Stage,
                        error,
                    ));
                }
                left.push(message);
                last = Some(error);
            }
            let Some(error) = last else { return Ok(()) };
            let pause = PAUSES.pause(attempt - 1, Jitter::random());
            tracing::warn!(target: "broadway_flow", %error, messages = left.len(), pause_ms = pause.as_millis(), "results of a flow were not confirmed and are published again");
            tokio::time::sleep(pause).await;
            messages = left;
            attempt += 1;
        }
    }

    async fn finish(&mut self) -> Result<(), FlowError> {
        let flushed = self.publisher.flush().await;
        flushed.map_err(|error| FlowError::new("into_publisher", FlowErrorKind::Stage, error))
    }
}
