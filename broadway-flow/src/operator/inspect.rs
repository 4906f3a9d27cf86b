//! `inspect`: sees events that go on unchanged.

use std::sync::Arc;

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `inspect`: sees events that go on unchanged.
#[doc(hidden)]
#[derive(Clone)]
pub struct Inspect<F> {
    f: F,
    info: Arc<OperatorInfo>,
}

impl<F> Inspect<F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self { f, info }
    }
}

#[doc(hidden)]
pub struct InspectSink<F, S> {
    f: F,
    meter: Meter,
    next: S,
}

impl<T, F> Operation<T> for Inspect<F>
where
    T: Send + 'static,
    F: FnMut(&T) + Clone + Send + 'static,
{
    type Out = T;
    type Run<S: Sink<T>> = InspectSink<F, S>;

    fn run<S: Sink<T>>(self, _seat: &Seat, next: S) -> InspectSink<F, S> {
        InspectSink {
            f: self.f,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, F, S> Sink<T> for InspectSink<F, S>
where
    T: Send + 'static,
    F: FnMut(&T) + Clone + Send + 'static,
    S: Sink<T>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self { f, meter, next } = self;
        meter.call(|| f(&event));
        next.push(event, at)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
