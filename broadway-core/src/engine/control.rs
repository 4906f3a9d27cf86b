//! [`Control`]: the commands to a running topology (pause, drain, abort), as a state that its tasks watch.
//!
//! Watchers poll instead of awaiting: their code is compiled here and not in the crate of each user.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::OwnedNotified};

use super::clock;
use crate::{deadline::Deadline, telemetry::DrainCause};

/// The state that all tasks of a topology watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlState {
    /// Paused by the handle.
    pub(crate) paused: bool,
    /// How many others keep the producers paused.
    pub(crate) pauses: usize,
    /// The sources that are paused alone, one bit each. A watcher of one source sees the pause of that source as `paused`.
    paused_sources: u64,
    /// A rate limit applies: producers must stay with their tasks, which wait for it.
    limited: bool,
    pub(crate) drain: Option<Drain>,
    pub(crate) aborted: bool,
}

/// A drain that has begun, and its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drain {
    pub(crate) cause: DrainCause,
    pub(crate) began: Instant,
    pub(crate) deadline: Deadline,
    /// Whether messages that no handler has begun are released, where their source delivers them again.
    pub(crate) releases: bool,
}

impl ControlState {
    /// Whether a drain has begun that [releases](Drain::releases).
    pub(crate) fn releases(&self) -> bool {
        self.drain.is_some_and(|drain| drain.releases)
    }

    /// Whether the topology ends: it drains, or was aborted.
    pub(crate) fn is_ending(&self) -> bool {
        self.drain.is_some() || self.aborted
    }

    /// Whether producers must not be called: the topology is paused, or ends.
    pub(crate) fn stops_producing(&self) -> bool {
        self.is_paused() || self.is_ending()
    }

    /// Whether processors must not call producers: producers must not be called at all, or the rate limit holds them back.
    pub(crate) fn stops_lending(&self) -> bool {
        self.limited || self.stops_producing()
    }

    /// The state as this source has it.
    fn of_source(mut self, source: usize) -> Self {
        self.paused |= self.pauses_source(source);
        self
    }

    /// Whether this source alone is paused.
    pub(crate) fn pauses_source(&self, source: usize) -> bool {
        self.paused_sources & bit(source) != 0
    }

    /// Whether anyone keeps the producers paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused || self.pauses > 0
    }
}

fn bit(source: usize) -> u64 {
    1_u64 << source
}

/// Changes the state. Shared by the handle, the producers and the supervisor.
#[derive(Debug)]
pub(crate) struct Control {
    shared: Arc<SharedControl>,
    /// Whether a drain releases, unless its cause is the end of the source.
    may_release: bool,
    /// A copy of [`ControlState::releases`], which is read once per chunk without taking the lock of the state.
    releases: AtomicBool,
    /// For each source, a copy of its [`ControlState::stops_lending`], likewise.
    stops_lending: Box<[AtomicBool]>,
}

/// What a [`Control`] and its watchers share.
#[derive(Debug)]
struct SharedControl {
    state: Mutex<ControlState>,
    /// Notified after each change.
    changed: Arc<Notify>,
}

impl SharedControl {
    fn lock(&self) -> MutexGuard<'_, ControlState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the watchers, if `change` returns that it has changed anything. Returns the same.
    fn change(&self, change: impl FnOnce(&mut ControlState) -> bool) -> bool {
        let changed = change(&mut self.lock());
        if changed {
            self.changed.notify_waiters();
        }
        changed
    }
}

impl Control {
    /// Creates the control of a topology with up to 64 sources.
    pub(crate) fn new(may_release: bool, sources: usize) -> Self {
        let state = ControlState {
            paused: false,
            pauses: 0,
            paused_sources: 0,
            limited: false,
            drain: None,
            aborted: false,
        };
        let shared = SharedControl {
            state: Mutex::new(state),
            changed: Arc::default(),
        };
        Self {
            may_release,
            releases: AtomicBool::new(false),
            stops_lending: (0..sources).map(|_| AtomicBool::new(false)).collect(),
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn watch(&self) -> ControlWatcher {
        self.watch_as(None)
    }

    /// As [`watch`](Self::watch), for a producer of one source: that source's pause counts as a pause.
    pub(crate) fn watch_source(&self, source: usize) -> ControlWatcher {
        self.watch_as(Some(source))
    }

    fn watch_as(&self, source: Option<usize>) -> ControlWatcher {
        let changed = Arc::clone(&self.shared.changed).notified_owned();
        ControlWatcher {
            shared: Arc::clone(&self.shared),
            source,
            changed: Box::pin(changed),
        }
    }

    pub(crate) fn state(&self) -> ControlState {
        *self.shared.lock()
    }

    /// Pauses or resumes the producers for the handle. Returns whether that changed anything for the producers.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        self.change_pause(|state| state.paused = paused)
    }

    /// Pauses the producers until [`remove_pause`](Self::remove_pause). Returns whether that changed anything for them.
    pub(crate) fn add_pause(&self) -> bool {
        self.change_pause(|state| state.pauses += 1)
    }

    /// Ends one pause. Returns whether that changed anything for the producers.
    pub(crate) fn remove_pause(&self) -> bool {
        self.change_pause(|state| state.pauses -= 1)
    }

    /// Pauses or resumes one source. Returns whether that changed anything.
    pub(crate) fn pause_source(&self, source: usize, paused: bool) -> bool {
        self.change(|state| {
            let before = state.paused_sources;
            match paused {
                true => state.paused_sources |= bit(source),
                false => state.paused_sources &= !bit(source),
            }
            state.paused_sources != before
        })
    }

    /// Keeps all producers with their tasks from now on, which wait for the rate limit.
    pub(crate) fn limit(&self) {
        self.change(|state| !std::mem::replace(&mut state.limited, true));
    }

    fn change_pause(&self, change: impl FnOnce(&mut ControlState)) -> bool {
        self.change(|state| {
            let before = state.is_paused();
            change(state);
            state.is_paused() != before
        })
    }

    /// Changes the state. `change` returns whether it did.
    fn change(&self, change: impl FnOnce(&mut ControlState) -> bool) -> bool {
        self.shared.change(|state| {
            let changed = change(state);
            // Under the lock of the state: the later of two changes counts here as well.
            for (source, stops) in self.stops_lending.iter().enumerate() {
                stops.store(state.of_source(source).stops_lending(), Ordering::Release);
            }
            changed
        })
    }

    /// Begins to drain. A later call can only shorten the limit, and release where the drain did not so far. Returns whether this
    /// call began the drain.
    pub(crate) fn drain(&self, cause: DrainCause, limit: Duration) -> bool {
        let now = clock::now();
        let deadline = Deadline::since(now, limit);
        let releases = self.may_release && cause != DrainCause::SourceEnded;
        let mut began = false;
        self.change(|state| {
            let Some(drain) = &mut state.drain else {
                began = true;
                state.drain = Some(Drain {
                    cause,
                    began: now,
                    deadline,
                    releases,
                });
                return true;
            };
            let before = *drain;
            drain.deadline = drain.deadline.min(deadline);
            drain.releases |= releases;
            *drain != before
        });
        // After the state: a task that reads this copy sees the drain as well.
        if releases {
            self.releases.store(true, Ordering::Release);
        }
        began
    }

    /// Whether a drain has begun that releases messages which no handler has begun.
    pub(crate) fn releases(&self) -> bool {
        self.releases.load(Ordering::Acquire)
    }

    /// Whether processors must not call a producer of this source. See [`ControlState::stops_lending`].
    pub(crate) fn stops_lending(&self, source: usize) -> bool {
        self.stops_lending[source].load(Ordering::Acquire)
    }

    pub(crate) fn abort(&self) {
        self.change(|state| !std::mem::replace(&mut state.aborted, true));
    }
}

/// Watches the state.
#[derive(Debug)]
pub(crate) struct ControlWatcher {
    shared: Arc<SharedControl>,
    /// The source whose pause counts as well.
    source: Option<usize>,
    /// Completes after the next change. Made before the state is read, so that no change is missed between the two.
    changed: Pin<Box<OwnedNotified>>,
}

/// A condition on the state that a task waits for.
pub(crate) type Condition = fn(&ControlState) -> bool;

impl ControlWatcher {
    pub(crate) fn state(&self) -> ControlState {
        let state = *self.shared.lock();
        self.source.map_or(state, |source| state.of_source(source))
    }

    /// Waits until `wanted` holds.
    pub(crate) fn until(&mut self, wanted: Condition) -> Until<'_> {
        Until {
            watcher: self,
            wanted,
        }
    }

    /// Runs `future` until `stop` holds. Returns `None` if it was stopped and dropped. A future that is ready wins.
    pub(crate) async fn run_until<F: Future>(
        &mut self,
        future: F,
        stop: Condition,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        // The future first: messages that a producer has are delivered, even when the drain begins at the same moment.
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_until(stop, cx).map(|()| None),
        })
        .await
    }

    /// Runs `future` to its end, unless the topology must end by force.
    ///
    /// # Errors
    ///
    /// `None` if the topology was aborted; the limit of the drain if the drain took longer.
    pub(crate) async fn run_until_forced<F: Future>(
        &mut self,
        future: F,
    ) -> Result<F::Output, Option<Duration>> {
        // Biased: an end that is reached at the last moment counts.
        tokio::select! {
            biased;
            output = future => Ok(output),
            limit = self.forced() => Err(limit),
        }
    }

    fn poll_until(&mut self, wanted: Condition, cx: &mut Context<'_>) -> Poll<()> {
        while !wanted(&self.state()) {
            ready!(self.poll_changed(cx));
        }
        Poll::Ready(())
    }

    /// Waits until the state has changed since the last call that was ready, or earlier.
    fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.changed.as_mut().poll(cx));
        let next = Arc::clone(&self.shared.changed).notified_owned();
        self.changed.set(next);
        Poll::Ready(())
    }

    /// Waits until the topology must end by force. Returns the limit of the drain, or `None` for an abort.
    async fn forced(&mut self) -> Option<Duration> {
        loop {
            let state = self.state();
            if state.aborted {
                return None;
            }
            let deadline = state
                .drain
                .map_or(Deadline::never(), |drain| drain.deadline);
            let changed = poll_fn(|cx| self.poll_changed(cx));
            if deadline.within(changed).await.is_none()
                && let (Some(drain), Some(at)) = (state.drain, deadline.at())
            {
                return Some(at.saturating_duration_since(drain.began));
            }
        }
    }
}

/// The future of [`ControlWatcher::until`].
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Until<'a> {
    watcher: &'a mut ControlWatcher,
    wanted: Condition,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { watcher, wanted } = self.get_mut();
        watcher.poll_until(*wanted, cx)
    }
}
