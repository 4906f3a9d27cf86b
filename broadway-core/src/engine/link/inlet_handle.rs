//! [`InletHandle`]: adds to the demand of an inlet, and checks whether it waits, from outside the task that takes.

use super::{state::SharedLink, wake_list::WakeList};
use crate::{
    machine::dispatch::{Dispatch, InletId},
    sync::Arc,
};

/// Refers to one inlet, for as long as that exists.
pub(crate) struct InletHandle<T, D: Dispatch<T>> {
    shared: Arc<SharedLink<T, D>>,
    id: InletId,
    /// Identifies the inlet: ids are reused.
    serial: u64,
}

impl<T, D: Dispatch<T>> InletHandle<T, D> {
    pub(super) fn new(shared: Arc<SharedLink<T, D>>, id: InletId, serial: u64) -> Self {
        Self { shared, id, serial }
    }

    /// Demands `n` more messages if the inlet's demand is [`Manual`](super::DemandMode::Manual), and does nothing if it is not.
    /// Returns whether the inlet still exists.
    pub(crate) fn ask(&self, n: usize) -> bool {
        let mut wakes = WakeList::default();
        let mut state = self.shared.lock();
        let exists = state.request_manually(self.id, self.serial, n);
        if exists {
            // The inlet parked with its old limit. Woken, it takes up to the new one, from the events that are buffered already, too.
            state.unpark(self.id, &mut wakes);
            state.propagate(&mut wakes);
        }
        drop(state);
        wakes.wake();
        exists
    }

    /// Returns whether the inlet found nothing to take and waits. `None` if it no longer exists.
    pub(crate) fn is_waiting(&self) -> Option<bool> {
        self.shared.lock().is_waiting(self.id, self.serial)
    }
}
