//! [`Context`]: what a callback can do besides looking at its arguments.

use std::{sync::Arc, time::Duration};

use super::{End, timers::Timers};

/// Given to every callback of a stage that may emit events of type `E`; a stage that sends none has a
/// `Context<`[`Nothing`]`>`.
#[derive(Debug)]
pub struct Context<E> {
    pub(super) emitted: Vec<E>,
    pub(super) asked: usize,
    pub(super) timers: Timers,
    pub(super) stop: Option<End>,
    name: Arc<str>,
}

/// The event type of a stage that sends none. There is no value of it, so nothing can be emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {}

/// Names a timer of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timer(pub(super) u64);

impl<E> Context<E> {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            emitted: Vec::new(),
            asked: 0,
            timers: Timers::default(),
            stop: None,
            name,
        }
    }

    /// Sends an event, when the callback has returned. Events keep their order.
    pub fn emit(&mut self, event: E) {
        self.emitted.push(event);
    }

    /// Sends events, when the callback has returned.
    pub fn emit_all(&mut self, events: impl IntoIterator<Item = E>) {
        self.emitted.extend(events);
    }

    /// How many events consumers have asked for that were not emitted. 0 if more were emitted than asked for.
    #[must_use]
    pub fn demand(&self) -> usize {
        self.asked.saturating_sub(self.emitted.len())
    }

    /// Calls `handle_timer` once, when `after` has passed; later if the stage is busy then. Timers do not outlive a restart.
    pub fn start_timer(&mut self, after: Duration) -> Timer {
        self.timers.start(after)
    }

    /// Forgets a timer. Returns whether it was still to come.
    pub fn cancel_timer(&mut self, timer: Timer) -> bool {
        self.timers.cancel(timer)
    }

    /// Ends the stage, as [`End::Normal`], when the callback has returned and what it emitted is sent. Consumers handle what is
    /// buffered for them, and then learn of the end.
    pub fn stop(&mut self) {
        self.stop.get_or_insert(End::Normal);
    }

    /// The name of the stage.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }
}
