//! `map_batch`: a function over many events at once.

use std::{mem, sync::Arc};

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// The most events of a batch.
const EVENTS_MAX: usize = 1_000;

/// `map_batch`: a function over many events at once.
#[doc(hidden)]
pub struct MapBatch<F, T> {
    f: F,
    info: Arc<OperatorInfo>,
    events: std::marker::PhantomData<fn(T)>,
}

impl<F, T> MapBatch<F, T> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        let events = std::marker::PhantomData;
        Self { f, info, events }
    }
}

impl<F: Clone, T> Clone for MapBatch<F, T> {
    fn clone(&self) -> Self {
        Self::new(self.f.clone(), Arc::clone(&self.info))
    }
}

#[doc(hidden)]
pub struct MapBatchSink<F, T, S> {
    f: F,
    meter: Meter,
    waiting: Vec<T>,
    /// The latest time and the oldest epoch of those waiting.
    at: At,
    next: S,
}

impl<T, U, I, F> Operation<T> for MapBatch<F, T>
where
    T: Send + 'static,
    U: Send + 'static,
    I: IntoIterator<Item = U>,
    F: FnMut(Vec<T>) -> I + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = MapBatchSink<F, T, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> MapBatchSink<F, T, S> {
        MapBatchSink {
            f: self.f,
            meter: Meter::new(self.info),
            waiting: Vec::new(),
            at: At::NONE,
            next,
        }
    }
}

impl<F, T, S> MapBatchSink<F, T, S> {
    fn flush<U, I>(&mut self) -> Pushed
    where
        I: IntoIterator<Item = U>,
        F: FnMut(Vec<T>) -> I,
        S: Sink<U>,
    {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let at = mem::replace(&mut self.at, At::NONE);
        let (f, waiting) = (&mut self.f, mem::take(&mut self.waiting));
        let mut events = self.meter.again(|| f(waiting)).into_iter();
        while let Some(event) = self.meter.again(|| events.next()) {
            self.next.push(event, at)?;
        }
        Ok(())
    }
}

impl<T, U, I, F, S> Sink<T> for MapBatchSink<F, T, S>
where
    T: Send + 'static,
    U: Send + 'static,
    I: IntoIterator<Item = U>,
    F: FnMut(Vec<T>) -> I + Clone + Send + 'static,
    S: Sink<U>,
{
    fn push(&mut self, event: T, at: At) -> Pushed {
        self.meter.count();
        self.at.time = self.at.time.max(at.time);
        self.at.since = self.at.since.min(at.since);
        self.waiting.push(event);
        if self.waiting.len() >= EVENTS_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        if signal.sends() {
            self.flush()?;
        }
        self.next.signal(signal)
    }
}
