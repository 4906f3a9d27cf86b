//! [`RunningFlow`]: a flow that was started.

use std::{fmt, sync::Arc};

use broadway_core::{StartError, stage::End};
use tokio::time::Instant;

use super::{Counts, FlowProgress, FlowState, Report, RunningStage, start::Stages};
use crate::{FlowError, FlowErrorKind, plan::Plan};

/// A flow that was started. Dropping it stops the flow: events in it are lost.
#[must_use = "dropping it stops the flow: call `wait`"]
pub struct RunningFlow {
    pub(crate) stages: Stages,
    pub(crate) state: Arc<FlowState>,
    pub(crate) plan: Plan,
    pub(crate) began: Instant,
}

impl RunningFlow {
    pub(crate) fn new(stages: Stages, state: Arc<FlowState>, plan: Plan) -> Self {
        state.set_total(plan.total(), plan.unit());
        Self {
            stages,
            state,
            plan,
            began: Instant::now(),
        }
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
        let outcome = tokio::select! {
            biased;
            failure = self.state.failed() => Err(failure),
            ended = all_ended(&self.stages.last) => ended,
        };
        match outcome {
            Ok(()) => Ok(self.report()),
            Err(error) => {
                for stage in &self.stages.all {
                    stage.stop().await;
                }
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

    /// Stops the flow now. Events in it are lost, and windows do not fire.
    pub async fn stop(self) {
        for stage in &self.stages.all {
            stage.stop().await;
        }
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

/// Waits until all these stages have ended normally.
async fn all_ended(stages: &[Arc<dyn RunningStage>]) -> Result<(), FlowError> {
    for stage in stages {
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
    Ok(())
}

impl Drop for RunningFlow {
    fn drop(&mut self) {
        for stage in &self.stages.all {
            stage.abort();
        }
    }
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
