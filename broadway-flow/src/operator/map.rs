//! `map`: one event becomes one other.

use std::sync::Arc;

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `map`: one event becomes one other.
#[doc(hidden)]
#[derive(Clone)]
pub struct Map<F> {
    f: F,
    info: Arc<OperatorInfo>,
}

impl<F> Map<F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self { f, info }
    }
}

#[doc(hidden)]
pub struct MapSink<F, S> {
    f: F,
    meter: Meter,
    next: S,
}

impl<T, U, F> Operation<T> for Map<F>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> U + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = MapSink<F, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> MapSink<F, S> {
        MapSink {
            f: self.f,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, U, F, S> Sink<T> for MapSink<F, S>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> U + Clone + Send + 'static,
    S: Sink<U>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self { f, meter, next } = self;
        let event = meter.call(|| f(event));
        next.push(event, at)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
