//! [`watch_suspension`]: notices when the task of an inlet waits while it holds a chunk.

use std::{future::poll_fn, pin::pin};

use super::{state::SharedLink, wake_list::WakeList};
use crate::{
    machine::dispatch::{Dispatch, InletId},
    sync::Arc,
};

/// Reports an inlet's suspension to the link, from outside the task that owns the inlet.
pub(crate) struct SuspensionWatch<T, D: Dispatch<T>> {
    shared: Arc<SharedLink<T, D>>,
    id: InletId,
}

impl<T, D: Dispatch<T>> SuspensionWatch<T, D> {
    pub(super) fn new(shared: Arc<SharedLink<T, D>>, id: InletId) -> Self {
        Self { shared, id }
    }

    fn suspended(&self) {
        let mut wakes = WakeList::default();
        self.shared.lock().suspended(self.id, &mut wakes);
        wakes.wake();
    }
}

/// Runs the task of an inlet. Whenever the task is pending while the inlet holds a chunk, for whatever reason, other inlets are
/// woken for the messages that this one would have taken next.
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
