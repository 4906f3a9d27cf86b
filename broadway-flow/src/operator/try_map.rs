//! `try_map`: as `map`, with a function that may fail. The first error ends the flow.

use std::sync::Arc;

use broadway_core::BoxError;

use crate::{
    At, FlowError, FlowErrorKind,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `try_map`: as `map`, with a function that may fail. The first error ends the flow.
#[doc(hidden)]
#[derive(Clone)]
pub struct TryMap<F> {
    f: F,
    info: Arc<OperatorInfo>,
}

impl<F> TryMap<F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self { f, info }
    }
}

#[doc(hidden)]
pub struct TryMapSink<F, S> {
    f: F,
    meter: Meter,
    next: S,
}

impl<T, U, E, F> Operation<T> for TryMap<F>
where
    T: Send + 'static,
    U: Send + 'static,
    E: Into<BoxError>,
    F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = TryMapSink<F, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> TryMapSink<F, S> {
        TryMapSink {
            f: self.f,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, U, E, F, S> Sink<T> for TryMapSink<F, S>
where
    T: Send + 'static,
    U: Send + 'static,
    E: Into<BoxError>,
    F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
    S: Sink<U>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self { f, meter, next } = self;
        match meter.call(|| f(event)) {
            Ok(event) => next.push(event, at),
            Err(error) => {
                let operator = meter.info().to_string();
                Err(FlowError::new(operator, FlowErrorKind::Error, error))
            }
        }
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
