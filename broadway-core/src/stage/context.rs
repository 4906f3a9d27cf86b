//! [`Context`]: what a callback can do besides returning.

use std::{sync::Arc, time::Duration};

use super::{
    End,
    timers::{Timer, Timers},
};

/// Given to every callback of a stage that may emit events of type `E`. A stage that sends no events has a
/// `Context<`[`Infallible`](std::convert::Infallible)`>`: a type without values, so nothing can be emitted.
#[derive(Debug)]
pub struct Context<E> {
    pub(super) emitted: Vec<E>,
    /// Outstanding demand when the callback was called.
    pub(super) outstanding: usize,
    pub(super) timers: Timers,
    pub(super) stop: Option<End>,
    name: Arc<str>,
}

impl<E> Context<E> {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            emitted: Vec::new(),
            outstanding: 0,
            timers: Timers::default(),
            stop: None,
            name,
        }
    }

    /// Sends an event once the callback has returned. Events keep their order.
    pub fn emit(&mut self, event: E) {
        self.emitted.push(event);
    }

    /// Sends events once the callback has returned.
    pub fn emit_all(&mut self, events: impl IntoIterator<Item = E>) {
        self.emitted.extend(events);
    }

    /// Returns the outstanding demand: how many events consumers have asked for that were not emitted yet. 0 if more were emitted
    /// than asked for.
    #[must_use]
    pub fn demand(&self) -> usize {
        self.outstanding.saturating_sub(self.emitted.len())
    }

    /// Calls `handle_timer` once, when `after` has passed, or later if the stage is busy then. A restart cancels all timers.
    pub fn start_timer(&mut self, after: Duration) -> Timer {
        self.timers.start(after)
    }

    /// Cancels a timer. Returns whether it was still running.
    pub fn cancel_timer(&mut self, timer: Timer) -> bool {
        self.timers.cancel(timer)
    }

    /// Ends the stage as [`End::Normal`] once the callback has returned and the events that it emitted are sent. Consumers handle the
    /// events that are buffered for them before they see the end.
    pub fn stop(&mut self) {
        self.stop.get_or_insert(End::Normal);
    }

    /// Returns the name of the stage.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }
}
