//! The handle of a running pipeline: [`Topology`].

use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::future;
use tokio::sync::watch;

use super::{
    describe::Description,
    processor::AckOf,
    push::{PushEntrance, PushError, Pushed, Receipt},
    rate_limit::Limiter,
    settler::Ledger,
    totals::Totals,
};
use crate::{
    error::{Problem, RunError},
    machine::rate::{Allowance, Change},
    source::{ItemOf, Source},
    stage::{control::Control, signal},
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
    inner: Arc<dyn Running<T>>,
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type PushResult<T> = Result<Vec<Receipt>, PushError<T>>;
type Ended = Result<Totals, RunError>;

/// What the handle needs of a topology, whatever its source.
pub(super) trait Running<T>: Send + Sync {
    fn common(&self) -> &Common;
    fn totals(&self) -> Totals;
    fn push(&self, items: Vec<T>) -> BoxFuture<'_, PushResult<T>>;
    fn try_push(&self, items: Vec<T>) -> Result<Pushed<T>, PushError<T>>;
    fn idle(&self) -> BoxFuture<'_, ()>;
    /// Tells everyone who waits.
    fn finish(&self, ended: Ended);
}

/// The part that does not depend on the source.
pub(super) struct Common {
    pub(super) description: Description,
    pub(super) control: Arc<Control>,
    pub(super) limiter: Option<Arc<Limiter>>,
    pub(super) emitter: Emitter,
    pub(super) drain_timeout: Duration,
    pub(super) result: watch::Sender<Option<Ended>>,
}

/// A topology over its source.
pub(super) struct Inner<S: Source> {
    pub(super) common: Common,
    pub(super) entrance: Arc<PushEntrance<S>>,
    pub(super) ledger: Arc<Ledger<AckOf<S>>>,
}

impl<S: Source> Running<ItemOf<S>> for Inner<S> {
    fn common(&self) -> &Common {
        &self.common
    }

    fn totals(&self) -> Totals {
        self.ledger.counters.totals()
    }

    fn push(&self, items: Vec<ItemOf<S>>) -> BoxFuture<'_, PushResult<ItemOf<S>>> {
        Box::pin(self.entrance.push(items))
    }

    fn try_push(&self, items: Vec<ItemOf<S>>) -> Result<Pushed<ItemOf<S>>, PushError<ItemOf<S>>> {
        self.entrance.try_push(items)
    }

    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.ledger.counters.idle())
    }

    fn finish(&self, ended: Ended) {
        self.common.result.send_replace(Some(ended));
    }
}

impl<T: Send + 'static> Topology<T> {
    pub(super) fn new(inner: Arc<dyn Running<T>>) -> Self {
        Self { inner }
    }

    /// Waits until the topology has ended: its source is exhausted, it was drained or aborted, or it failed.
    ///
    /// # Errors
    ///
    /// See [`RunError`]. Failed *messages* are not an error of the topology; they are counted in [`Totals`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; may be called any number of times, also after the end.
    pub async fn wait(&self) -> Result<Totals, RunError> {
        let mut result = self.common().result.subscribe();
        let ended = result.wait_for(Option::is_some).await;
        let ended = ended.ok().and_then(|ended| ended.clone());
        // The sender is ours, and the supervisor reports in any case.
        ended.unwrap_or(Err(RunError::RuntimeShutDown { unsettled: 0 }))
    }

    /// [`wait`](Self::wait)s, and drains on SIGINT or SIGTERM; a second signal aborts.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_or_signal(&self) -> Result<Totals, RunError> {
        signal::until_signal(
            self.wait(),
            || self.begin_drain(DrainCause::Signal, self.common().drain_timeout),
            || {
                self.common().control.abort();
            },
        )
        .await
    }

    /// Stops fetching, lets everything in flight come to its end, settles it, closes the source, and returns. Has the
    /// pipeline's drain timeout.
    ///
    /// # Errors
    ///
    /// [`RunError::DrainTimedOut`] if it took too long: what was left is not settled, and will be delivered again. Or what
    /// had ended the topology before.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the topology drains, also when this future is dropped.
    pub async fn drain(&self) -> Result<Totals, RunError> {
        self.drain_within(self.common().drain_timeout).await
    }

    /// [`drain`](Self::drain)s with a limit of its own; [`Duration::MAX`] is none. May shorten the limit of a drain that has
    /// begun, not extend it.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    pub async fn drain_within(&self, limit: Duration) -> Result<Totals, RunError> {
        self.begin_drain(DrainCause::Asked, limit);
        self.wait().await
    }

    /// Ends at once: handlers are dropped at their next await, and what was in flight is not settled, so it will be
    /// delivered again. The source is still closed in order.
    ///
    /// # Errors
    ///
    /// Always: [`RunError::Aborted`], unless the topology had ended before in another way.
    pub async fn abort(&self) -> Result<Totals, RunError> {
        self.common().control.abort();
        self.wait().await
    }

    /// Stops asking producers for messages; what is in flight goes on. Pushed messages still pass.
    pub fn pause(&self) {
        if self.common().control.pause(true) {
            self.common().emitter.emit(&Event::Paused);
        }
    }

    /// Asks producers again.
    pub fn resume(&self) {
        if self.common().control.pause(false) {
            self.common().emitter.emit(&Event::Resumed);
        }
    }

    /// Whether producers are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.common().control.word().paused
    }

    /// The messages per interval that may pass. `None`: the pipeline was started without a rate limit.
    #[must_use]
    pub fn rate_limit(&self) -> Option<(usize, Duration)> {
        let allowance = self.common().limiter.as_ref()?.allowance();
        Some((allowance.messages(), allowance.interval()))
    }

    /// Changes the rate limit when the current interval ends, or, with `reset`, at once, beginning a new interval.
    ///
    /// # Errors
    ///
    /// The values can't work, or the pipeline was started without a rate limit.
    pub fn set_rate_limit(
        &self,
        messages: usize,
        interval: Duration,
        reset: bool,
    ) -> Result<(), Problem> {
        let Some(limiter) = &self.common().limiter else {
            return Err(Problem::new(
                "rate_limit",
                "the pipeline was started without one: set one before start",
            ));
        };
        let allowance = Allowance::new(messages, interval)
            .map_err(|error| Problem::new("rate_limit", error.to_string()))?;
        limiter.update(
            allowance,
            if reset {
                Change::Reset
            } else {
                Change::AtIntervalEnd
            },
        );
        Ok(())
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
        self.inner.push(messages.into_iter().collect()).await
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
        self.inner.try_push(messages.into_iter().collect())
    }

    /// Waits until nothing is in flight: everything that was received so far, by push or from the source, has been settled. Or
    /// until the topology has ended.
    ///
    /// What a handler pushes counts from before its own message is settled, so a pipeline that feeds itself is idle
    /// only when all that it found is done. A source may deliver more afterwards.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn wait_idle(&self) {
        future::select(self.inner.idle(), pin!(self.wait())).await;
    }

    /// How many messages were received, and how they ended.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.inner.totals()
    }

    /// What the topology looks like.
    #[must_use]
    pub fn describe(&self) -> &Description {
        &self.common().description
    }

    fn common(&self) -> &Common {
        self.inner.common()
    }

    fn begin_drain(&self, cause: DrainCause, limit: Duration) {
        if self.common().control.drain(cause, limit) {
            self.common().emitter.emit(&Event::Draining { cause });
        }
    }
}

impl<T: Send + 'static> Drop for Topology<T> {
    fn drop(&mut self) {
        self.begin_drain(DrainCause::Asked, self.common().drain_timeout);
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
