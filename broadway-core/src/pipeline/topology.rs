//! The handle of a running pipeline: [`Topology`].

use std::{
    collections::HashSet,
    fmt,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future;
use tokio::{sync::watch, task};

use super::{
    describe::Description,
    pusher::PushTarget,
    rate_limit::RateLimiter,
    receipt::{PushError, Pushed, Receipt},
    totals::{Counters, Totals},
};
use crate::{
    engine::{control::Control, signal},
    error::{Problem, RunError},
    machine::{rate::Change, stop_signals::Request},
    rate_limit::RateLimit,
    telemetry::{DrainCause, Emitter, Event},
};

/// A running pipeline.
///
/// It runs by itself; the handle watches and steers it. Dropping the handle drains the topology in the background, with
/// the pipeline's drain timeout: nothing that was accepted is lost, as long as the runtime lives.
///
/// The handle may be used on another runtime than the one on which the topology runs, and outlive it: when that runtime is
/// shut down, everyone who waits gets [`RunError::RuntimeShutDown`]. (A runtime of one thread that is not shut down but
/// not run either stands still, and so does the topology.)
#[must_use = "dropping the topology drains it: keep it, and `wait`, `wait_or_signal` or `drain` it"]
pub struct Topology<T: Send + 'static> {
    state: Arc<TopologyState<T>>,
}

/// How the topology ended.
pub(super) type RunResult = Result<Totals, RunError>;

/// What the handle needs of a running topology, whatever its source.
pub(super) struct TopologyState<T> {
    pub(super) description: Description,
    pub(super) control: Arc<Control>,
    pub(super) limiter: Option<Arc<RateLimiter>>,
    pub(super) emitter: Emitter,
    pub(super) drain_timeout: Duration,
    pub(super) counters: Arc<Counters>,
    pub(super) push: Arc<dyn PushTarget<T>>,
    pub(super) result: watch::Sender<Option<RunResult>>,
    /// The tasks that run handlers. Empty until they are spawned.
    pub(super) handler_tasks: OnceLock<HashSet<task::Id>>,
}

impl<T: Send + 'static> Topology<T> {
    pub(super) fn new(state: Arc<TopologyState<T>>) -> Self {
        Self { state }
    }

    /// Waits until the topology has ended: its source is exhausted, it was drained or aborted, or it failed.
    ///
    /// Signals are none of its business: without [`wait_or_signal`](Self::wait_or_signal), or a handler of your own, SIGINT and
    /// SIGTERM end the process at once. Nothing is drained then, and what was in flight is delivered again, as after a crash.
    ///
    /// # Errors
    ///
    /// See [`RunError`]. Failed *messages* are not an error of the topology; they are counted in [`Totals`]. In a handler of the
    /// same topology, [`RunError::InsideHandler`], at once: it would wait for itself. (A task that a handler spawns and awaits is
    /// not noticed.)
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; may be called any number of times, also after the end.
    pub async fn wait(&self) -> Result<Totals, RunError> {
        self.check_outside()?;
        self.wait_for_result().await
    }

    /// [`wait`](Self::wait)s, and drains on SIGINT or SIGTERM (outside Unix: on Ctrl-C); a second signal aborts.
    ///
    /// Signals are caught from the first poll of this future on; before that, one ends the process at once. The first signal begins
    /// a [`drain`](Self::drain), and [`Event::Draining`] tells it. Further signals within half a second of it are the same
    /// request, since a terminal or a service manager may send it twice; one that comes later aborts, with
    /// [`RunError::Aborted`].
    ///
    /// tokio keeps catching both signals for the rest of the process: afterwards they end nothing by themselves.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait). [`RunError::Signals`] if signals cannot be caught, as on a runtime without IO; the topology runs
    /// on, and drains when the handle is dropped. After a signal, `Ok` is a drain that ended in time; a `main` that returns this
    /// result exits with code 0 then, and otherwise with 1.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; a drain that has begun goes on.
    pub async fn wait_or_signal(&self) -> Result<Totals, RunError> {
        self.check_outside()?;
        let ended = signal::until_signal(self.wait_for_result(), |request| match request {
            Request::Drain => self.begin_drain_as(DrainCause::Signal, self.state.drain_timeout),
            Request::Abort => self.state.control.abort(),
            Request::Nothing => {}
        });
        ended.await.map_err(|error| RunError::Signals { error })?
    }

    /// Stops fetching, releases what no handler has begun where the source delivers it again, lets the rest in flight come to its
    /// end, settles it, closes the source, and returns. [`Pipeline::on_drain`](crate::Pipeline::on_drain) changes what is
    /// released. Has the pipeline's drain timeout.
    ///
    /// # Errors
    ///
    /// [`RunError::DrainTimedOut`] if it took too long: what was left is not settled, and will be delivered again. Or what
    /// had ended the topology before. In a handler of the same topology, [`RunError::InsideHandler`], at once, and nothing is
    /// begun: there, call [`begin_drain`](Self::begin_drain).
    ///
    /// # Cancel safety
    ///
    /// Once polled, the topology drains, also when this future is dropped.
    pub async fn drain(&self) -> Result<Totals, RunError> {
        self.drain_within(self.state.drain_timeout).await
    }

    /// [`drain`](Self::drain)s with a limit of its own; [`Duration::MAX`] is none. May shorten the limit of a drain that has
    /// begun, not extend it.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub async fn drain_within(&self, limit: Duration) -> Result<Totals, RunError> {
        self.check_outside()?;
        self.begin_drain_as(DrainCause::Asked, limit);
        self.wait_for_result().await
    }

    /// Begins a [`drain`](Self::drain) and does not wait for its end. For handlers, too: the message at hand is handled to its end.
    pub fn begin_drain(&self) {
        self.begin_drain_as(DrainCause::Asked, self.state.drain_timeout);
    }

    /// Ends at once: handlers are dropped at their next await, and what was in flight is not settled, so it will be
    /// delivered again. The source is still closed in order.
    ///
    /// # Errors
    ///
    /// Always: [`RunError::Aborted`], unless the topology had ended before in another way.
    pub async fn abort(&self) -> Result<Totals, RunError> {
        self.state.control.abort();
        self.wait_for_result().await
    }

    /// Stops asking producers for messages; what is in flight goes on. Pushed messages still pass.
    pub fn pause(&self) {
        if self.state.control.pause(true) {
            self.state.emitter.emit(&Event::Paused);
        }
    }

    /// Asks producers again.
    pub fn resume(&self) {
        if self.state.control.pause(false) {
            self.state.emitter.emit(&Event::Resumed);
        }
    }

    /// Whether producers are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.state.control.state().paused
    }

    /// Returns the rate limit that was set last, or `None` if the pipeline was started without one.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        Some(self.state.limiter.as_ref()?.limit())
    }

    /// Changes the rate limit when the current interval ends. A token bucket changes at once and keeps its level.
    ///
    /// A limit of the other kind, or with another burst, replaces the old one at once, as
    /// [`reset_rate_limit`](Self::reset_rate_limit) does.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the limit is [invalid](RateLimit#errors) or if the pipeline was started without one.
    pub fn set_rate_limit(&self, limit: RateLimit) -> Result<(), Problem> {
        self.update_rate_limit(limit, Change::AtIntervalEnd)
    }

    /// Changes the rate limit at once: a new interval begins, and a token bucket is full again.
    ///
    /// # Errors
    ///
    /// As [`set_rate_limit`](Self::set_rate_limit).
    pub fn reset_rate_limit(&self, limit: RateLimit) -> Result<(), Problem> {
        self.update_rate_limit(limit, Change::Reset)
    }

    /// Puts messages into the pipeline beside those of the source, all together, as soon as processors ask for any. The
    /// rate limit does not hold them, and a receipt tells how each ended. In tests, [`testing`](crate::testing) reads better.
    ///
    /// Not for handlers of the same pipeline: there it may wait forever. They [`try_push`](Self::try_push), by way of a
    /// [`Pusher`](crate::Pusher).
    ///
    /// # Errors
    ///
    /// The topology drains or has ended; none was accepted, and the error has them.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, none was accepted, and they are gone.
    pub async fn push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Receipt>, PushError<T>> {
        self.state.push.push(messages.into_iter().collect()).await
    }

    /// Puts messages into the pipeline beside those of the source, now and without waiting: as many as fit. Those that do
    /// not are given back. It fits what leaves no more than [`Pipeline::pushed_max`](crate::Pipeline::pushed_max) pushed
    /// messages waiting for a processor. The rate limit does not hold them.
    ///
    /// # Errors
    ///
    /// The topology drains or has ended; none was accepted, and the error has them.
    pub fn try_push(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<Pushed<T>, PushError<T>> {
        self.state.push.try_push(messages.into_iter().collect())
    }

    /// Waits until nothing is in flight: everything that was received so far, by push or from the source, has been settled. Or
    /// until the topology has ended.
    ///
    /// What a handler pushes counts from before its own message is settled, so a pipeline that feeds itself is idle
    /// only when all that it found is done. A source may deliver more afterwards. Not for handlers of the same pipeline: the
    /// message at hand is in flight.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_idle(&self) {
        let idle = pin!(self.state.counters.wait_idle());
        future::select(idle, pin!(self.wait_for_result())).await;
    }

    /// How many messages were received, and how they ended.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.state.counters.totals()
    }

    /// What the topology looks like.
    #[must_use]
    pub fn describe(&self) -> &Description {
        &self.state.description
    }

    /// Waits for the end, from anywhere.
    async fn wait_for_result(&self) -> RunResult {
        let mut result = self.state.result.subscribe();
        let ended = result.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| ended.clone());
        // The sender is ours, and the supervisor reports in any case.
        ended.unwrap_or(Err(RunError::RuntimeShutDown { unsettled: 0 }))
    }

    fn update_rate_limit(&self, limit: RateLimit, change: Change) -> Result<(), Problem> {
        let Some(limiter) = &self.state.limiter else {
            return Err(Problem::new(
                "rate_limit",
                "the pipeline was started without one: set one before start",
            ));
        };
        if let Some((option, message)) = limit.problems().into_iter().next() {
            return Err(Problem::new(option, message));
        }
        limiter
            .update(limit, change)
            .map_err(|error| Problem::new("rate_limit", error.to_string()))
    }

    fn check_outside(&self) -> Result<(), RunError> {
        let (workers, task) = (self.state.handler_tasks.get(), task::try_id());
        match (workers, task) {
            (Some(workers), Some(task)) if workers.contains(&task) => Err(RunError::InsideHandler),
            _ => Ok(()),
        }
    }

    fn begin_drain_as(&self, cause: DrainCause, limit: Duration) {
        if self.state.control.drain(cause, limit) {
            self.state.emitter.emit(&Event::Draining { cause });
        }
    }
}

impl<T: Send + 'static> Drop for Topology<T> {
    fn drop(&mut self) {
        self.begin_drain_as(DrainCause::Dropped, self.state.drain_timeout);
    }
}

impl<T: Send + 'static> fmt::Debug for Topology<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topology")
            .field("description", self.describe())
            .field("totals", &self.totals())
            .finish()
    }
}
