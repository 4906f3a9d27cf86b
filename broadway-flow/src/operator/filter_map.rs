//! `filter_map`: one event becomes one other, or none.

use std::sync::Arc;

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `filter_map`: one event becomes one other, or none.
#[doc(hidden)]
#[derive(Clone)]
pub struct FilterMap<F> {
    f: F,
    info: Arc<OperatorInfo>,
}

impl<F> FilterMap<F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self { f, info }
    }
}

#[doc(hidden)]
pub struct FilterMapSink<F, S> {
    f: F,
    meter: Meter,
    next: S,
}

impl<T, U, F> Operation<T> for FilterMap<F>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> Option<U> + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = FilterMapSink<F, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> FilterMapSink<F, S> {
        FilterMapSink {
            f: self.f,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, U, F, S> Sink<T> for FilterMapSink<F, S>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnMut(T) -> Option<U> + Clone + Send + 'static,
    S: Sink<U>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self { f, meter, next } = self;
        match meter.call(|| f(event)) {
            Some(event) => next.push(event, at),
            None => Ok(()),
        }
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
