//! `filter` and `reject`: some events go on.

use std::sync::Arc;

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `filter` and `reject`: some events go on.
#[doc(hidden)]
#[derive(Clone)]
pub struct Filter<F> {
    f: F,
    info: Arc<OperatorInfo>,
}

impl<F> Filter<F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self { f, info }
    }
}

#[doc(hidden)]
pub struct FilterSink<F, S> {
    f: F,
    meter: Meter,
    next: S,
}

impl<T, F> Operation<T> for Filter<F>
where
    T: Send + 'static,
    F: FnMut(&T) -> bool + Clone + Send + 'static,
{
    type Out = T;
    type Run<S: Sink<T>> = FilterSink<F, S>;

    fn run<S: Sink<T>>(self, _seat: &Seat, next: S) -> FilterSink<F, S> {
        FilterSink {
            f: self.f,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, F, S> Sink<T> for FilterSink<F, S>
where
    T: Send + 'static,
    F: FnMut(&T) -> bool + Clone + Send + 'static,
    S: Sink<T>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self { f, meter, next } = self;
        match meter.call(|| f(&event)) {
            true => next.push(event, at),
            false => Ok(()),
        }
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
