//! The handle of a running pipeline: [`Topology`]. What it changes while the pipeline runs is in `live_control`.

mod live_control;
mod running_batcher;

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{self, BoxFuture};
use tokio::sync::watch;

pub use self::running_batcher::RunningBatcher;
use super::{
    live::LiveSettings,
    pusher::PushTarget,
    rate_limit::{RateLimiter, SharedLimiter},
    receipt::{PushError, Pushed, Receipt},
    totals::{Counters, Totals},
};
use crate::{
    engine::{clock, control::Control, signal, task_ids::TaskIds},
    error::{Problem, RunError},
    machine::{
        rate::{Change, InvalidAllowance},
        stop_signals::StopRequest,
    },
    rate_limit::RateLimit,
    running::PipelineControl,
    telemetry::{DrainCause, Emitter, Event},
};

/// A running pipeline.
///
/// It runs in the background; this is its handle. Dropping the handle drains the topology in the background, with the pipeline's
/// drain timeout: no accepted message is lost as long as the runtime lives.
///
/// The handle may be used on another runtime than the one on which the topology runs, and may outlive it. When that runtime is
/// shut down, callers that wait get [`RunError::RuntimeShutDown`]. A current-thread runtime that is neither run nor shut down
/// makes no progress, and neither does its topology.
#[must_use = "dropping the topology drains it: keep it, and `wait`, `wait_or_signal` or `drain` it"]
pub struct Topology<T: Send + 'static> {
    state: Arc<TopologyState>,
    push: Arc<dyn PushTarget<T>>,
}

/// How the topology ended.
pub(super) type RunResult = Result<Totals, RunError>;

/// What the handle needs of a running topology, whatever its source and its items.
pub(super) struct TopologyState {
    pub(super) live: LiveSettings,
    pub(super) control: Arc<Control>,
    pub(super) limiter: SharedLimiter,
    pub(super) emitter: Emitter,
    pub(super) drain_timeout: Duration,
    pub(super) counters: Arc<Counters>,
    pub(super) result: watch::Sender<Option<RunResult>>,
    /// The tasks that run handlers.
    pub(super) handler_ids: Arc<TaskIds>,
}

impl<T: Send + 'static> Topology<T> {
    pub(super) fn new(state: Arc<TopologyState>, push: Arc<dyn PushTarget<T>>) -> Self {
        Self { state, push }
    }

    /// Waits until the topology has ended: its source is exhausted, it was drained or aborted, or it failed.
    ///
    /// Does not handle signals. Without [`wait_or_signal`](Self::wait_or_signal) or a signal handler of your own, SIGINT and
    /// SIGTERM end the process at once: the topology is not drained, and messages in flight are delivered again, as after a crash.
    ///
    /// # Errors
    ///
    /// See [`RunError`]. Failed *messages* are not an error of the topology; they are counted in [`Totals`]. In a handler of the
    /// same topology, returns [`RunError::InsideHandler`] at once, since it would wait for itself. A task that a handler spawns and
    /// awaits is not detected.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. May be called any number of times, also after the end.
    pub async fn wait(&self) -> Result<Totals, RunError> {
        self.state.wait().await
    }

    /// Waits until the topology has ended, and drains it on SIGINT or SIGTERM (outside Unix: on Ctrl-C). A second signal aborts.
    ///
    /// Signals are caught from the first poll of this future on; before that, a signal ends the process at once. The first signal
    /// begins a [`drain`](Self::drain), which is reported as [`Event::Draining`]. Further signals within half a second count as the
    /// same request, since a terminal or a service manager may send it twice. A later one aborts, with [`RunError::Aborted`].
    ///
    /// tokio keeps catching both signals for the rest of the process: afterwards they no longer end it.
    ///
    /// # Errors
    ///
    /// Fails as [`wait`](Self::wait) does, and with [`RunError::Signals`] if signals cannot be caught, as on a runtime without IO:
    /// the topology then keeps running, and drains when the handle is dropped. After a signal, `Ok` means that the drain ended in
    /// time. A `main` that returns this result exits with code 0 then, and with 1 on an error.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. A drain that has begun goes on.
    pub async fn wait_or_signal(&self) -> Result<Totals, RunError> {
        self.state.wait_or_signal().await
    }

    /// Drains the topology within the pipeline's drain timeout: stops fetching, releases messages that no handler has begun,
    /// handles and settles the others in flight, and closes the source.
    ///
    /// Messages are released if their source delivers them again; see [`Pipeline::on_drain`](crate::Pipeline::on_drain).
    ///
    /// # Errors
    ///
    /// - [`RunError::DrainTimedOut`] if it took too long: the remaining messages are not settled, and will be delivered again.
    /// - The error that ended the topology, if it had ended before.
    /// - [`RunError::InsideHandler`] in a handler of the same topology, at once, and no drain begins: call
    ///   [`begin_drain`](Self::begin_drain) there.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the topology drains, also when this future is dropped.
    pub async fn drain(&self) -> Result<Totals, RunError> {
        self.state.drain(self.state.drain_timeout).await
    }

    /// Drains the topology as [`drain`](Self::drain) does, within `limit`. [`Duration::MAX`] means no limit. Shortens the limit of
    /// a drain that has begun, and does not extend it.
    ///
    /// # Errors
    ///
    /// Fails as [`drain`](Self::drain) does.
    pub async fn drain_within(&self, limit: Duration) -> Result<Totals, RunError> {
        self.state.drain(limit).await
    }

    /// Begins a [`drain`](Self::drain) and does not wait for its end. May be called in handlers: their messages are handled to the
    /// end.
    pub fn begin_drain(&self) {
        self.state
            .begin_drain(DrainCause::Asked, self.state.drain_timeout);
    }

    /// Ends the topology at once: handlers are dropped at their next await, and messages in flight are not settled, so they will be
    /// delivered again. The source is closed all the same.
    ///
    /// # Errors
    ///
    /// Always returns [`RunError::Aborted`], unless the topology had ended before in another way.
    pub async fn abort(&self) -> Result<Totals, RunError> {
        self.state.abort().await
    }

    /// Stops asking producers for messages. A call of `produce` that waits is dropped; one that runs at this moment may still deliver.
    /// Messages in flight are handled, and pushed messages still pass.
    pub fn pause(&self) {
        self.state.pause();
    }

    /// Asks producers for messages again.
    pub fn resume(&self) {
        self.state.resume();
    }

    /// Whether all producers are paused. See also [`pause_source`](Self::pause_source).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state.control.state().is_paused()
    }

    /// Returns the rate limit that was set last, or `None` if none was.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.state.rate_limit()
    }

    /// Changes the rate limit when the current interval ends. A token bucket changes at once and keeps its level.
    ///
    /// A limit of the other kind, or with another burst, replaces the old one at once, as
    /// [`reset_rate_limit`](Self::reset_rate_limit) does. The first limit of a pipeline that was started without one applies at once.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the limit is [invalid](RateLimit#errors).
    pub fn set_rate_limit(&self, limit: RateLimit) -> Result<(), Problem> {
        self.state.update_rate_limit(limit, Change::AtIntervalEnd)
    }

    /// Changes the rate limit at once: a new interval begins, and a token bucket is full again.
    ///
    /// # Errors
    ///
    /// Fails as [`set_rate_limit`](Self::set_rate_limit) does.
    pub fn reset_rate_limit(&self, limit: RateLimit) -> Result<(), Problem> {
        self.state.update_rate_limit(limit, Change::Reset)
    }

    /// Pushes messages into the pipeline, beside the messages of the source: waits until processors ask for messages, then sends
    /// all of them. The rate limit does not apply. Each receipt reports how its message ended. In tests,
    /// [`testing`](crate::testing) reads better.
    ///
    /// Not for handlers of the same pipeline: there it may wait forever. Use [`try_push`](Self::try_push) there, through a
    /// [`Pusher`](crate::Pusher).
    ///
    /// # Errors
    ///
    /// Fails if the topology drains or has ended. None was accepted, and the error returns them.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, no message was accepted, and all are lost.
    pub async fn push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Receipt>, PushError<T>> {
        self.push.push(messages.into_iter().collect()).await
    }

    /// Pushes as many messages as fit, without waiting, and returns the others. Messages fit as long as no more than
    /// [`Pipeline::pushed_max`](crate::Pipeline::pushed_max) pushed messages wait for a processor. The rate limit does not apply.
    ///
    /// # Errors
    ///
    /// Fails if the topology drains or has ended. None was accepted, and the error returns them.
    pub fn try_push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Pushed<T>, PushError<T>> {
        self.push.try_push(messages.into_iter().collect())
    }

    /// Waits until no message is in flight: all that were received so far, pushed or from the source, have been settled. Also
    /// returns when the topology has ended.
    ///
    /// Messages that a handler pushes count from before its own message is settled, so a pipeline that feeds itself is idle only
    /// when all work that it found is done. A source may deliver more afterwards. Not for handlers of the same pipeline: their own
    /// message is in flight.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_idle(&self) {
        self.state.wait_idle().await;
    }

    /// Returns how many messages were received, and how they ended.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.state.counters.totals()
    }
}

impl<T: Send + 'static> Drop for Topology<T> {
    fn drop(&mut self) {
        self.state
            .begin_drain(DrainCause::Dropped, self.state.drain_timeout);
    }
}

impl<T: Send + 'static> fmt::Debug for Topology<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("description", &self.describe())
            .field("totals", &self.totals())
            .finish()
    }
}

/// What the handle does, whatever its items. The futures are boxed: their code is compiled here, and not in the crate of each user.
impl PipelineControl for TopologyState {
    fn add_pause(&self) {
        if self.control.add_pause() {
            self.emitter.emit(&Event::Paused);
        }
    }

    fn remove_pause(&self) {
        if self.control.remove_pause() {
            self.emitter.emit(&Event::Resumed);
        }
    }

    fn begin_drain(&self) {
        TopologyState::begin_drain(self, DrainCause::Asked, self.drain_timeout);
    }

    fn emit(&self, event: &Event<'_>) {
        self.emitter.emit(event);
    }
}

impl TopologyState {
    /// Returns the place for a result that is not published yet.
    pub(super) fn no_result() -> watch::Sender<Option<RunResult>> {
        watch::Sender::new(None)
    }

    fn wait(&self) -> BoxFuture<'_, RunResult> {
        Box::pin(async {
            self.check_outside()?;
            self.wait_for_result().await
        })
    }

    fn wait_or_signal(&self) -> BoxFuture<'_, RunResult> {
        Box::pin(async {
            self.check_outside()?;
            let ended = signal::until_signal(self.wait_for_result(), |request| match request {
                StopRequest::Drain => self.begin_drain(DrainCause::Signal, self.drain_timeout),
                StopRequest::Abort => self.control.abort(),
                StopRequest::Nothing => {}
            });
            ended.await.map_err(|error| RunError::Signals { error })?
        })
    }

    fn drain(&self, limit: Duration) -> BoxFuture<'_, RunResult> {
        Box::pin(async move {
            self.check_outside()?;
            self.begin_drain(DrainCause::Asked, limit);
            self.wait_for_result().await
        })
    }

    fn abort(&self) -> BoxFuture<'_, RunResult> {
        self.control.abort();
        Box::pin(self.wait_for_result())
    }

    fn pause(&self) {
        if self.control.pause(true) {
            self.emitter.emit(&Event::Paused);
        }
    }

    fn resume(&self) {
        if self.control.pause(false) {
            self.emitter.emit(&Event::Resumed);
        }
    }

    fn wait_idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            let idle = pin!(self.counters.wait_idle());
            future::select(idle, pin!(self.wait_for_result())).await;
        })
    }

    /// Waits for the end. Without the check for handlers: `abort` may be called anywhere.
    async fn wait_for_result(&self) -> RunResult {
        let mut result = self.result.subscribe();
        let ended = result.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| ended.clone());
        // Cannot be `None`: the sender lives as long as this handle, and the supervisor reports a result in any case.
        ended.unwrap_or(Err(RunError::RuntimeShutDown { unsettled: 0 }))
    }

    fn update_rate_limit(&self, limit: RateLimit, change: Change) -> Result<(), Problem> {
        if let Some((option, message)) = limit.problems().into_iter().next() {
            return Err(Problem::new(option, message));
        }
        let invalid = |error: InvalidAllowance| Problem::new("rate_limit", error.to_string());
        if self.limiter.get().is_none() {
            let first = RateLimiter::new(limit, clock::now()).map_err(invalid)?;
            if self.limiter.set(first).is_ok() {
                // Producers that are lent go back to their tasks, which wait for the limit.
                self.control.limit();
                return Ok(());
            }
        }
        let Some(limiter) = self.limiter.get() else {
            return Ok(());
        };
        limiter.update(limit, change).map_err(invalid)
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        Some(self.limiter.get()?.limit())
    }

    /// Fails if the current task runs handlers of this topology.
    fn check_outside(&self) -> Result<(), RunError> {
        match self.handler_ids.contains_current() {
            true => Err(RunError::InsideHandler),
            false => Ok(()),
        }
    }

    fn begin_drain(&self, cause: DrainCause, limit: Duration) {
        if self.control.drain(cause, limit) {
            self.emitter.emit(&Event::Draining { cause });
        }
    }
}
