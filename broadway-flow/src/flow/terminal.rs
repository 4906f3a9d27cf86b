//! The ends of flows.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use broadway_core::{
    Problem,
    stage::{End, EventStream, Output},
};
use futures_util::{FutureExt, Stream, StreamExt};

use super::Flow;
use crate::{
    FlowError, FlowErrorKind, Report, RunFlowError, RunningFlow,
    chain::Chain,
    flow::boundary::RoundRobin,
    graph::Segment,
    plan::Plan,
    run::{Options, start, start_unpack},
    sink::{Collect, Discard, OperatorInfo},
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Runs the flow to its end, for its effects. Events that reach the end are dropped.
    ///
    /// # Errors
    ///
    /// Fails if options are invalid, a source does not start, or an operator, source or stage fails.
    ///
    /// # Panics
    ///
    /// Panics outside a tokio runtime with timers.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the flow stops, and events in it are lost.
    pub async fn run(self) -> Result<Report, RunFlowError> {
        let options = self.options.clone();
        Ok(self.start().await?.wait_with(&options).await?)
    }

    /// Starts the flow, and returns a handle to wait for its end, to observe it, or to stop it.
    ///
    /// # Errors
    ///
    /// Fails if options are invalid, or if a source does not start.
    pub async fn start(self) -> Result<RunningFlow, RunFlowError> {
        let options = self.options.clone();
        start_last(self.finish(|_| Discard), &options).await
    }

    /// Runs the flow, and returns all events that reach the end. They are in the order of the source if every segment has one worker.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn collect(self) -> Result<Vec<T>, RunFlowError> {
        let all = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&all);
        let options = self.options.clone();
        let last = self.finish(move |_| Collect::new(Arc::clone(&shared)));
        start_last(last, &options)
            .await?
            .wait_with(&options)
            .await?;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *all))
    }

    /// Runs the flow, and calls `f` with each event that reaches the end, in the worker.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn for_each<F>(self, f: F) -> Result<Report, RunFlowError>
    where
        F: FnMut(T) + Clone + Send + 'static,
    {
        let info = OperatorInfo::new("for_each");
        let flow = self.then(info, |info| crate::operator::Map::new(f, info));
        flow.run().await
    }

    /// Starts the flow as a stage, to which consumers subscribe. It keeps the pace of its consumers, and stops with the handle.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start). Flows with an acknowledged source are refused: their messages would be settled before the consumers have
    /// handled the results. Use [`for_each_batch`](Self::for_each_batch), [`into_publisher`](Self::into_publisher) or
    /// [`for_each`](Self::for_each).
    pub async fn into_stages(self) -> Result<(Output<T>, RunningFlow), RunFlowError> {
        self.into_output("into_stages").await
    }

    /// Starts the flow as a stage, for this method at the end.
    async fn into_output(self, end: &str) -> Result<(Output<T>, RunningFlow), RunFlowError> {
        let options = self.options.clone();
        let state = options.state().await?;
        let mut last = self.route(RoundRobin::new);
        if last.is_acked() {
            let message = "is not possible with an acknowledged source: messages would be settled before their results are handled outside the flow; use \
                           `for_each`, `for_each_batch` or `into_publisher`";
            last.plan.problems.push(Problem::new(end, message));
        }
        let plan = Plan::of(&last);
        let mut stages = start(last, true, &state).await?;
        let output = start_unpack(&mut stages, &state).await?;
        let running = RunningFlow::begin(stages, state, plan, &options).await?;
        Ok((output, running))
    }

    /// Starts the flow, and returns its events as a stream. The flow keeps the pace of the stream, and stops when the stream is dropped. An error is the last
    /// item.
    ///
    /// # Errors
    ///
    /// As [`into_stages`](Self::into_stages), which refuses acknowledged sources as well.
    pub async fn into_stream(self) -> Result<FlowStream<T>, RunFlowError> {
        let (output, running) = self.into_output("into_stream").await?;
        let events = output
            .stream()
            .map_err(|error| FlowError::new("into_stream", FlowErrorKind::Stage, error))?;
        let state = Arc::clone(&running.state);
        let failed = async move { drop(state.failed().await) };
        Ok(FlowStream {
            events,
            failed: Box::pin(failed),
            running,
            is_over: false,
        })
    }
}

/// Starts a flow whose last segment sends nothing.
pub(crate) async fn start_last(
    last: Segment,
    options: &Options,
) -> Result<RunningFlow, RunFlowError> {
    let state = options.state().await?;
    let plan = Plan::of(&last);
    let stages = start(last, false, &state).await?;
    RunningFlow::begin(stages, state, plan, options).await
}

/// The events of a running flow. Made by [`Flow::into_stream`].
#[must_use = "a stream does nothing unless polled, and dropping it stops the flow"]
pub struct FlowStream<T> {
    events: EventStream<T>,
    /// Completes when the flow has failed.
    failed: Failed,
    running: RunningFlow,
    /// Whether all items are out, the error included.
    is_over: bool,
}

type Failed = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl<T: Send + 'static> FlowStream<T> {
    /// Takes the failure of the flow, once. A source may have failed that only its stage knows of.
    fn failure(&mut self) -> Option<FlowError> {
        if std::mem::replace(&mut self.is_over, true) {
            return None;
        }
        let of_stage = |end: &End| {
            let failure = end.failure()?;
            Some(FlowError::new(
                failure.stage(),
                FlowErrorKind::Stage,
                failure.clone(),
            ))
        };
        self.running
            .take_failure()
            .or_else(|| self.events.end().and_then(of_stage))
    }
}

impl<T: Send + 'static> Stream for FlowStream<T> {
    type Item = Result<T, FlowError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match self.events.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => return Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => {}
            // A failure that ends no stage.
            Poll::Pending => ready!(self.failed.poll_unpin(cx)),
        }
        Poll::Ready(self.failure().map(Err))
    }
}

impl<T> fmt::Debug for FlowStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowStream")
            .field("running", &self.running)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_ends_no_stage_is_the_last_item() {
        let flow = Flow::from_stream(stream::pending::<u32>());
        let mut stream = flow.into_stream().await.unwrap();
        let state = Arc::clone(&stream.running.state);
        let waiting = tokio::spawn(async move {
            let error = stream.next().await.unwrap().unwrap_err();
            assert!(stream.next().await.is_none());
            error.to_string()
        });
        tokio::task::yield_now().await;
        state.fail_stage("the source", "it is gone");
        assert!(waiting.await.unwrap().contains("it is gone"));
    }
}
