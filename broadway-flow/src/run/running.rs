//! [`RunningFlow`]: a flow that was started.

use std::{fmt, future::pending, sync::Arc};

use broadway_core::stage::End;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{Options, Report, RunningPart};
use crate::{
    FlowError, FlowErrorKind, RunFlowError,
    live::{FlowProgress, FlowState, RunningStage},
    plan::{Counts, Plan},
    stages::Stages,
};

/// A flow that was started. Dropping it stops the flow: events in it are lost.
#[must_use = "dropping it stops the flow: call `wait`"]
pub struct RunningFlow {
    pub(crate) stages: Stages,
    pub(crate) state: Arc<FlowState>,
    pub(crate) plan: Plan,
    pub(crate) began: Instant,
    /// The part in front of a topic that this flow reads.
    first: Option<Box<dyn RunningPart>>,
}

impl RunningFlow {
    /// Lets events in, and starts the part in front.
    pub(crate) async fn begin(
        mut stages: Stages,
        state: Arc<FlowState>,
        plan: Plan,
        options: &Options,
    ) -> Result<Self, RunFlowError> {
        state.set_total(plan.total(), plan.unit());
        stages.forward(&state);
        let mut running = Self {
            stages,
            state,
            plan,
            began: Instant::now(),
            first: None,
        };
        if let Some(first) = &options.first {
            running.first = first.start().await?;
        }
        Ok(running)
    }

    /// Waits until the flow has ended: its sources have ended, and all their events are handled.
    ///
    /// # Errors
    ///
    /// Fails if an operator, a source or an external stage fails, or if the flow is stopped from outside. It stops the flow before it returns,
    /// as [`stop`](Self::stop) does.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the flow goes on, and `wait` may be called again.
    pub async fn wait(&mut self) -> Result<Report, FlowError> {
        let first = self.first.as_mut();
        let first = async {
            match first {
                // Its end is not the end of the topic.
                Some(first) => match first.wait().await {
                    Ok(()) => pending().await,
                    Err(error) => error,
                },
                None => pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            failure = self.state.failed() => Err(failure),
            failure = first => Err(failure),
            ended = all_ended(&self.stages) => ended,
        };
        match outcome {
            // The last message may have failed to be settled.
            Ok(()) => match self.state.failure() {
                None => Ok(self.report()),
                Some(failure) => Err(failure),
            },
            Err(error) => {
                self.stages.stop().await;
                // The failure of an operator is the cause of the failures behind it.
                Err(self.state.failure().unwrap_or(error))
            }
        }
    }

    /// Stops the flow. Events in it are lost, and windows do not fire.
    ///
    /// An acknowledged source stops first: the flow finishes and settles its messages at a last barrier, for at most 30 s. With
    /// [snapshots](crate::Flow::snapshots), the state is saved there; without, messages in open windows are returned to their source.
    ///
    /// Callbacks that run, such as the future of [`for_each_batch`](crate::Flow::for_each_batch), have 30 s to return; then they are aborted.
    pub async fn stop(mut self) {
        if let Some(first) = self.first.take() {
            first.stop().await;
        }
        self.stages.stop().await;
    }

    /// Takes the failure of a flow whose output has ended.
    pub(crate) fn take_failure(&mut self) -> Option<FlowError> {
        self.state.take_failure()
    }

    /// Returns how far the sources are. Cheap: call it as often as you like, also after the end.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut running = Flow::from_iter(0..5_000).start().await?;
    /// running.wait().await?;
    /// let progress = running.progress();
    /// assert_eq!((progress.done, progress.total), (5_000, Some(5_000)));
    /// assert_eq!(progress.share, Some(1.0));
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    #[must_use]
    pub fn progress(&self) -> FlowProgress {
        self.state.progress(self.plan.unit())
    }

    /// Returns the plan, with the counts so far.
    #[must_use]
    pub fn explain(&self) -> Plan {
        self.plan.clone().with_counts(self.counts())
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report::new(self.plan.clone(), self.counts())
    }

    fn counts(&self) -> Counts {
        Counts::new(&self.plan, self.progress(), self.began.elapsed())
    }
}

/// Waits until the last stages have ended normally, and all messages are settled.
async fn all_ended(stages: &Stages) -> Result<(), FlowError> {
    for stage in &stages.last {
        match stage.join().await {
            End::Normal => {}
            End::Failed(failure) => {
                let name = failure.stage().to_owned();
                return Err(FlowError::new(name, FlowErrorKind::Stage, failure));
            }
            end => {
                let text = end.to_string();
                return Err(FlowError::new("a stage", FlowErrorKind::Stopped, text));
            }
        }
    }
    for task in &stages.tasks {
        task.join().await;
    }
    Ok(())
}

impl fmt::Debug for RunningFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningFlow")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl RunningPart for RunningFlow {
    fn wait(&mut self) -> BoxFuture<'_, Result<(), FlowError>> {
        Box::pin(async { self.wait().await.map(|_| ()) })
    }

    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin((*self).stop())
    }
}
