//! [`Entry`]: the operators of a worker, with the type of their events erased.

use std::any::Any;

use super::{Events, Pushed, Seat, Signal, Sink};
use crate::{At, FlowError, FlowErrorKind, Timestamp, epoch::Epoch};

/// Makes the running operators of a worker, in front of a sink.
pub(crate) type SinkFactory<T> = Box<dyn FnMut(&Seat) -> Box<dyn Sink<T>> + Send>;

/// Makes the running operators of a worker, with the type of its events erased.
pub(crate) type EntryFactory = Box<dyn FnMut(&Seat) -> Box<dyn Entry> + Send>;

/// The running operators of a worker.
pub(crate) trait Entry: Send {
    /// Takes the events of a packet.
    fn events(&mut self, events: Box<dyn Any + Send>) -> Pushed;

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed;
}

/// Operators that take events of type `T`.
pub(crate) struct TypedEntry<S, T> {
    sink: S,
    events: std::marker::PhantomData<fn(T)>,
}

impl<T, S: Sink<T>> TypedEntry<S, T> {
    pub(crate) const fn new(sink: S) -> Self {
        let events = std::marker::PhantomData;
        Self { sink, events }
    }
}

impl<T: Send + 'static, S: Sink<T>> Entry for TypedEntry<S, T> {
    fn events(&mut self, events: Box<dyn Any + Send>) -> Pushed {
        let events = events
            .downcast::<Events<T>>()
            .map_err(|_| FlowError::new("a boundary", FlowErrorKind::Stage, "mixed types"))?;
        let Events {
            events,
            times,
            since,
        } = *events;
        self.sink.push_all(events, times, since)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.sink.signal(signal)
    }
}

/// An erased sink is a sink, with one dynamic call for a packet.
impl<T: 'static> Sink<T> for Box<dyn Sink<T>> {
    fn push(&mut self, event: T, at: At) -> Pushed {
        (**self).push(event, at)
    }

    fn push_all(&mut self, events: Vec<T>, times: Vec<Timestamp>, since: Epoch) -> Pushed {
        (**self).push_all(events, times, since)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        (**self).signal(signal)
    }
}
