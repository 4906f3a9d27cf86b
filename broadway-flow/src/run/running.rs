//! [`RunningFlow`]: a flow that was started.

use std::{fmt, future::pending, sync::Arc};

use broadway_core::{StartError, stage::End};
use tokio::time::Instant;

use super::{Counts, FlowProgress, FlowState, Options, Report, RunningStage, start::Stages};
use crate::{FlowError, FlowErrorKind, plan::Plan};

/// A flow that was started. Dropping it stops the flow: events in it are lost.
#[must_use = "dropping it stops the flow: call `wait`"]
pub struct RunningFlow {
    pub(crate) stages: Stages,
    pub(crate) state: Arc<FlowState>,
    pub(crate) plan: Plan,
    pub(crate) began: Instant,
    /// The part in front of a topic that this flow reads.
    first: Option<Box<RunningFlow>>,
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
            running.first = first.start().await?.map(Box::new);
        }
        Ok(running)
    }

    /// Waits until the flow has ended: its sources have ended, and all their events are handled.
    ///
    /// # Errors
    ///
    /// Fails if an operator, a source or an external stage fails, or if the flow is stopped from outside.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the flow goes on, and `wait` may be called again.
    pub async fn wait(&mut self) -> Result<Report, FlowError> {
        let first = self.first.as_mut();
        let first = async {
            match first {
                // Its end is not the end of the topic.
                Some(first) => match Box::pin(first.wait()).await {
                    Ok(_) => pending().await,
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

    /// As [`wait`](Self::wait), and draws a progress bar on standard error meanwhile, ten times per second. Draws nothing if standard error
    /// is no terminal.
    ///
    /// The bar has the name of the flow, and the [progress](Self::progress) of its sources: share, amount, rate and time left. If the total is
    /// unknown, it is a spinner with amount and rate. At the end it stays with the amount and the time, and after an error with the amount
    /// that was read until then.
    ///
    /// ```text
    /// orders [========>           ] 45%, 4,500 of 10,000 events, 900/s, 7 s left
    /// ```
    ///
    /// # Limits
    ///
    /// The share counts what sources have read, so the bar may be full while the last events, or windows at the end, are still on their
    /// way: it shows `finishing` then.
    ///
    /// The task that waits draws the bar: while operators occupy all threads of the runtime, updates come late.
    ///
    /// The bar is redrawn in its line. Other output to the terminal, such as logs or the bar of another flow, breaks that line, and leaves
    /// parts of the bar behind.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`wait`](Self::wait): the flow goes on, and the bar stays as it was drawn last.
    #[cfg(feature = "progress")]
    #[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
    pub async fn wait_with_bar(&mut self) -> Result<Report, FlowError> {
        super::bar::wait_drawing(self, indicatif::ProgressDrawTarget::stderr()).await
    }

    /// Stops the flow. Events in it are lost, and windows do not fire.
    ///
    /// An acknowledged source stops first: the flow finishes and settles what it has, at a last barrier, for at most 30 s. With
    /// [snapshots](crate::Flow::snapshots), the state is saved there; without, messages in open windows are returned to their source.
    pub async fn stop(mut self) {
        if let Some(first) = self.first.take() {
            Box::pin(first.stop()).await;
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

/// Why a flow could not be run: it did not start, or it failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunFlowError {
    /// Invalid options, or a source that did not start.
    Start(StartError),
    /// The flow failed.
    Flow(FlowError),
}

impl From<StartError> for RunFlowError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}

impl From<FlowError> for RunFlowError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error)
    }
}

impl fmt::Display for RunFlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RunFlowError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => error.source(),
            Self::Flow(error) => error.source(),
        }
    }
}
