//! [`Cell`]: what one key has in one window.

use std::mem;

use super::saved::SavedCell;
use crate::{Decision, epoch::Epoch};

/// The state of a custom trigger.
pub(super) type Trigger<T> = Box<dyn FnMut(&T) -> Decision + Send>;

/// The state of one key in one window.
pub(super) struct Cell<T, S> {
    pub(super) state: S,
    /// The oldest epoch of the events in `state`.
    pub(super) since: Epoch,
    /// All events of the window.
    pub(super) events: u64,
    /// The events since the last firing.
    pub(super) fresh: u64,
    /// Whether the window has had its firing at its end: from then on, only late firings follow.
    pub(super) on_time: bool,
    /// Made with the first event that it sees.
    pub(super) trigger: Option<Trigger<T>>,
}

impl<T, S> Cell<T, S> {
    pub(super) const fn new(state: S) -> Self {
        Self {
            state,
            since: Epoch::NONE,
            events: 0,
            fresh: 0,
            on_time: false,
            trigger: None,
        }
    }

    /// Notes `n` events that the state has taken.
    pub(super) fn count(&mut self, n: u64, since: Epoch) {
        self.since = self.since.min(since);
        self.events = self.events.saturating_add(n);
        self.fresh = self.fresh.saturating_add(n);
    }

    /// Replaces the state by one without events, and returns the old one.
    pub(super) fn clear(&mut self, state: S) -> (S, Epoch) {
        self.fresh = 0;
        let since = mem::replace(&mut self.since, Epoch::NONE);
        (mem::replace(&mut self.state, state), since)
    }

    /// Borrows the cell, to be saved. A custom trigger is not part of it.
    pub(super) const fn as_saved(&self) -> SavedCell<&S> {
        SavedCell {
            state: &self.state,
            since: self.since,
            events: self.events,
            fresh: self.fresh,
            on_time: self.on_time,
        }
    }
}

impl<T, S> From<SavedCell<S>> for Cell<T, S> {
    fn from(saved: SavedCell<S>) -> Self {
        Self {
            state: saved.state,
            since: saved.since,
            events: saved.events,
            fresh: saved.fresh,
            on_time: saved.on_time,
            trigger: None,
        }
    }
}
