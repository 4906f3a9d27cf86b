//! [`Part`]: what one key has in one pane, when panes are merged into windows.

use serde::{Deserialize, Serialize};

use crate::{Aggregate, epoch::Epoch};

/// A state that is merged with others before it becomes a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part<S> {
    pub(super) state: S,
    /// The oldest epoch of its events.
    pub(super) since: Epoch,
}

impl<S> Part<S> {
    /// A part without events.
    pub(super) fn empty<T, A: Aggregate<T, State = S>>(aggregate: &A) -> Self {
        Self {
            state: aggregate.create(),
            since: Epoch::NONE,
        }
    }

    /// Adds an event.
    pub(super) fn add<T, A: Aggregate<T, State = S>>(
        &mut self,
        aggregate: &A,
        event: T,
        since: Epoch,
    ) {
        aggregate.add(&mut self.state, event);
        self.since = self.since.min(since);
    }

    /// Adds the events of another part.
    pub(super) fn merge(&mut self, other: Self, merge: &impl Fn(&mut S, S)) {
        merge(&mut self.state, other.state);
        self.since = self.since.min(other.since);
    }

    /// Borrows the state, to be saved.
    pub(super) const fn as_ref(&self) -> Part<&S> {
        Part {
            state: &self.state,
            since: self.since,
        }
    }
}
