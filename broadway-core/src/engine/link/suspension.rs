//! [`watch_suspension`]: notices when the task of an inlet waits while it holds a chunk.

use std::{future::poll_fn, pin::Pin};

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

    /// Records a suspension. With `wakes_idle`, a parked inlet is woken if none is awake. Returns whether one is awake.
    pub(crate) fn suspended(&self, wakes_idle: bool) -> bool {
        let mut wakes = WakeList::default();
        let is_any_awake = self
            .shared
            .lock()
            .suspended(self.id, wakes_idle, &mut wakes);
        wakes.wake();
        is_any_awake
    }
}

impl<T, D: Dispatch<T>> SuspensionWatch<T, D> {
    /// Wakes a parked inlet if none is awake, after the inlet of this watch was dropped. Returns whether one is awake.
    pub(crate) fn wake_idle(&self) -> bool {
        let mut wakes = WakeList::default();
        let is_any_awake = self.shared.lock().wake_idle(&mut wakes);
        wakes.wake();
        is_any_awake
    }
}

/// The boxed task of an inlet.
type InletTask<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Returns the task of an inlet, which calls `suspended` whenever it is pending, for whatever reason.
pub(crate) fn watch_suspension<'a>(
    suspended: impl Fn() + Send + 'a,
    mut task: InletTask<'a>,
) -> InletTask<'a> {
    Box::pin(poll_fn(move |cx| {
        let polled = task.as_mut().poll(cx);
        if polled.is_pending() {
            suspended();
        }
        polled
    }))
}
