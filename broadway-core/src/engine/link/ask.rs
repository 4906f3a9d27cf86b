//! Asking by hand, and asking how an inlet does, from outside the task that takes.

use super::{hub::Hub, wake_list::WakeList};
use crate::{
    machine::dispatch::{Dispatch, InletId},
    sync::Arc,
};

/// Speaks for one inlet, as long as that is there.
pub(crate) struct Ask<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
    id: InletId,
    serial: u64,
}

impl<T, D: Dispatch<T>> Ask<T, D> {
    pub(super) fn new(hub: Arc<Hub<T, D>>, id: InletId, serial: u64) -> Self {
        Self { hub, id, serial }
    }

    /// Asks for `n` more if the inlet's flow is [`Manual`](super::Flow::Manual); nothing changes if it is not. Returns whether
    /// the inlet is still there.
    pub(crate) fn ask(&self, n: usize) -> bool {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        let there = state.ask_by_hand(self.id, self.serial, n);
        if there {
            state.recall(self.id, &mut wakes);
            state.changed(&mut wakes);
        }
        drop(state);
        wakes.wake();
        there
    }

    /// Whether the inlet came in vain and waits for events. `None`: it is not there any more.
    pub(crate) fn waits(&self) -> Option<bool> {
        self.hub.lock().waits(self.id, self.serial)
    }
}
