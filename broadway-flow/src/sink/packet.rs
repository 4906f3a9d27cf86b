//! [`Packet`]: what crosses a boundary between workers: many events of any type at once.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Timestamp, epoch::Epoch};

/// The most events of a packet.
pub(crate) const PACKET_EVENTS_MAX: usize = 1_000;

/// Events, or a signal, for one worker. The type of the events is erased, so that all stages of a flow are of one type; both sides of a
/// boundary are made together, with the same type.
pub(crate) struct Packet {
    /// The worker that it is for.
    pub(crate) to: usize,
    /// `Events<T>`, if there are any.
    pub(crate) events: Option<Box<dyn Any + Send>>,
    pub(crate) control: Option<Control>,
}

/// A signal that crosses a boundary, behind the events of its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Watermark(Timestamp),
    Idle,
    /// The end of an epoch; whether a snapshot is made there.
    Barrier(Epoch, bool),
}

/// The events of a packet.
pub(crate) struct Events<T> {
    pub(crate) events: Vec<T>,
    /// The time of each event; empty if none has a time.
    pub(crate) times: Vec<Timestamp>,
    /// The oldest epoch of all events.
    pub(crate) since: Epoch,
}

impl<T> Events<T> {
    pub(crate) const fn new() -> Self {
        Self {
            events: Vec::new(),
            times: Vec::new(),
            since: Epoch::NONE,
        }
    }

    /// Events without times, of a source that needs no acknowledgement.
    pub(crate) const fn plain(events: Vec<T>) -> Self {
        Self {
            events,
            times: Vec::new(),
            since: Epoch::NONE,
        }
    }
}

impl Packet {
    pub(crate) fn of<T: Send + 'static>(to: usize, events: Events<T>) -> Self {
        Self {
            to,
            events: Some(Box::new(events)),
            control: None,
        }
    }

    /// Events in a form of their own.
    pub(crate) fn with(to: usize, events: Box<dyn Any + Send>) -> Self {
        Self {
            to,
            events: Some(events),
            control: None,
        }
    }

    pub(crate) const fn control(to: usize, control: Control) -> Self {
        Self {
            to,
            events: None,
            control: Some(control),
        }
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("to", &self.to)
            .field("has_events", &self.events.is_some())
            .field("control", &self.control)
            .finish()
    }
}

/// The packets that the operators of a worker have made, for its stage to send. Both are in one task, so the lock is free; it is taken
/// once per packet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<Vec<Packet>>>);

impl Outbox {
    pub(crate) fn send(&self, packet: Packet) {
        self.lock().push(packet);
    }

    pub(crate) fn take(&self) -> Vec<Packet> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Packet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
