//! [`Control`]: the commands to a running topology (pause, drain, abort), as a state that its tasks watch.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::clock;
use crate::{deadline::Deadline, telemetry::DrainCause};

/// The state that all tasks of a topology watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ControlState {
    pub(crate) paused: bool,
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
        self.paused || self.is_ending()
    }
}

/// Changes the state. Shared by the handle, the producers and the supervisor.
#[derive(Debug)]
pub(crate) struct Control {
    state: watch::Sender<ControlState>,
    /// Whether a drain releases, unless its cause is the end of the source.
    may_release: bool,
    /// A copy of [`ControlState::releases`], which is read once per chunk without taking the lock of `state`.
    releases: AtomicBool,
    /// A copy of [`ControlState::stops_producing`], likewise.
    stops_producing: AtomicBool,
}

impl Control {
    pub(crate) fn new(may_release: bool) -> Self {
        Self {
            may_release,
            releases: AtomicBool::new(false),
            stops_producing: AtomicBool::new(false),
            state: watch::Sender::new(ControlState {
                paused: false,
                drain: None,
                aborted: false,
            }),
        }
    }

    pub(crate) fn watch(&self) -> ControlWatcher {
        ControlWatcher {
            state: self.state.subscribe(),
        }
    }

    pub(crate) fn state(&self) -> ControlState {
        *self.state.borrow()
    }

    /// Pauses or resumes the producers. Returns whether that changed anything.
    pub(crate) fn pause(&self, paused: bool) -> bool {
        self.change(|state| std::mem::replace(&mut state.paused, paused) != paused)
    }

    /// Changes the state. `change` returns whether it did.
    fn change(&self, change: impl FnOnce(&mut ControlState) -> bool) -> bool {
        self.state.send_if_modified(|state| {
            let changed = change(state);
            // Under the lock of the state, so that of two changes the later one counts here as well.
            self.stops_producing
                .store(state.stops_producing(), Ordering::Release);
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

    /// Whether producers must not be called. See [`ControlState::stops_producing`].
    pub(crate) fn stops_producing(&self) -> bool {
        self.stops_producing.load(Ordering::Acquire)
    }

    pub(crate) fn abort(&self) {
        self.change(|state| !std::mem::replace(&mut state.aborted, true));
    }
}

/// Watches the state.
#[derive(Debug, Clone)]
pub(crate) struct ControlWatcher {
    state: watch::Receiver<ControlState>,
}

impl ControlWatcher {
    pub(crate) fn state(&self) -> ControlState {
        *self.state.borrow()
    }

    /// Waits until `wanted` holds.
    pub(crate) async fn until(&mut self, wanted: impl FnMut(&ControlState) -> bool) {
        // The sender lives as long as the topology, whose tasks are the only callers.
        let _ = self.state.wait_for(wanted).await;
    }

    /// Runs `future` until `stop` holds. Returns `None` if it was stopped and dropped. A future that is ready wins.
    pub(crate) async fn run_until<F: Future>(
        &mut self,
        future: F,
        stop: impl FnMut(&ControlState) -> bool,
    ) -> Option<F::Output> {
        // Biased: messages that a producer has are delivered, even when the drain begins at the same moment.
        tokio::select! {
            biased;
            output = future => Some(output),
            () = self.until(stop) => None,
        }
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

    /// Waits until the topology must end by force. Returns the limit of the drain, or `None` for an abort.
    async fn forced(&mut self) -> Option<Duration> {
        loop {
            let state = *self.state.borrow_and_update();
            if state.aborted {
                return None;
            }
            let deadline = state
                .drain
                .map_or(Deadline::never(), |drain| drain.deadline);
            if deadline.within(self.state.changed()).await.is_none()
                && let (Some(drain), Some(at)) = (state.drain, deadline.at())
            {
                return Some(at.saturating_duration_since(drain.began));
            }
        }
    }
}
