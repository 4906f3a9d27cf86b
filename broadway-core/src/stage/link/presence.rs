//! Tells a link when the task of an inlet waits while it holds a chunk.

use std::{future::poll_fn, pin::pin};

use super::{Dispatch, Hub, InletId, WakeList};
use crate::sync::Arc;

/// Knows an inlet from outside the task that owns it.
pub(crate) struct Presence<T, D: Dispatch<T>> {
    pub(super) hub: Arc<Hub<T, D>>,
    pub(super) id: InletId,
}

impl<T, D: Dispatch<T>> Presence<T, D> {
    /// The task of the inlet waits for something. If it holds a chunk, it may not come back soon.
    fn suspended(&self) {
        let mut wakes = WakeList::default();
        let mut state = self.hub.lock();
        if state.inlets[self.id.0 as usize].up && state.inlets[self.id.0 as usize].busy {
            state.set_up(self.id, false);
            state.wake_inlets(&mut wakes);
        }
        drop(state);
        wakes.wake();
    }
}

/// Runs the task of an inlet. Whenever it waits while it holds a chunk, for whatever reason, others are woken for what it would
/// have taken next.
pub(crate) async fn attended<T, D: Dispatch<T>>(
    presence: Presence<T, D>,
    task: impl Future<Output = ()>,
) {
    let mut task = pin!(task);
    poll_fn(|cx| {
        let polled = task.as_mut().poll(cx);
        if polled.is_pending() {
            presence.suspended();
        }
        polled
    })
    .await;
}
