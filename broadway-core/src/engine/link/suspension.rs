//! Tells a link when the task of an inlet waits while it holds a chunk.

use std::{future::poll_fn, pin::pin};

use super::{hub::Hub, wake_list::WakeList};
use crate::{
    machine::dispatch::{Dispatch, InletId},
    sync::Arc,
};

/// Knows an inlet from outside the task that owns it.
pub(crate) struct SuspensionWatch<T, D: Dispatch<T>> {
    hub: Arc<Hub<T, D>>,
    id: InletId,
}

impl<T, D: Dispatch<T>> SuspensionWatch<T, D> {
    pub(super) fn new(hub: Arc<Hub<T, D>>, id: InletId) -> Self {
        Self { hub, id }
    }

    fn suspended(&self) {
        let mut wakes = WakeList::default();
        self.hub.lock().suspended(self.id, &mut wakes);
        wakes.wake();
    }
}

/// Runs the task of an inlet. Whenever it waits while it holds a chunk, for whatever reason, others are woken for what it would
/// have taken next.
pub(crate) async fn watch_suspension<T, D: Dispatch<T>>(
    suspension: SuspensionWatch<T, D>,
    task: impl Future<Output = ()>,
) {
    let mut task = pin!(task);
    poll_fn(|cx| {
        let polled = task.as_mut().poll(cx);
        if polled.is_pending() {
            suspension.suspended();
        }
        polled
    })
    .await;
}
