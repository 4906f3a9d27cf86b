//! [`DetachedMessages`]: ends messages that were detached from the inlet that took them.

use std::num::NonZeroU64;

use super::{state::SharedLink, wake_list::WakeList};
use crate::{
    machine::dispatch::{Dispatch, GiveBack},
    sync::Arc,
};

/// Ends the detached messages of a link, each exactly once.
pub(crate) struct DetachedMessages<T, D: Dispatch<T>> {
    shared: Arc<SharedLink<T, D>>,
}

impl<T, D: Dispatch<T>> Clone for DetachedMessages<T, D> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl<T, D: Dispatch<T>> DetachedMessages<T, D> {
    pub(super) fn new(shared: Arc<SharedLink<T, D>>) -> Self {
        Self { shared }
    }
}

impl<T, D: GiveBack<T>> DetachedMessages<T, D> {
    /// Records that messages were handled. `lanes` has the lane of each.
    pub(crate) fn complete(&self, lanes: impl Iterator<Item = Option<NonZeroU64>>) {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.complete(lanes);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Returns messages to the front of the queue, in their order, for any inlet to take. Empties `messages`.
    pub(crate) fn restore(&self, messages: &mut Vec<T>) {
        if messages.is_empty() {
            return;
        }
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        state.restore(messages);
        state.propagate(&mut wakes);
        drop(state);
        wakes.wake();
    }
}
