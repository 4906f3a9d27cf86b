//! `try_map_or`: as `try_map`, with a place for the failures, so that the flow goes on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use broadway_core::BoxError;

use crate::{
    At, FlowError,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink, blamed},
};

/// `try_map_or`: as `try_map`, with a place for the failures, so that the flow goes on.
#[doc(hidden)]
#[derive(Clone)]
pub struct TryMapOr<F, H> {
    f: F,
    on_failure: H,
    info: Arc<OperatorInfo>,
}

impl<F, H> TryMapOr<F, H> {
    pub(crate) const fn new(f: F, on_failure: H, info: Arc<OperatorInfo>) -> Self {
        Self {
            f,
            on_failure,
            info,
        }
    }
}

#[doc(hidden)]
pub struct TryMapOrSink<F, H, S> {
    f: F,
    on_failure: H,
    meter: Meter,
    next: S,
}

impl<T, U, E, F, H> Operation<T> for TryMapOr<F, H>
where
    T: Clone + Send + 'static,
    U: Send + 'static,
    E: Into<BoxError>,
    F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
    H: FnMut(T, BoxError) + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = TryMapOrSink<F, H, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> TryMapOrSink<F, H, S> {
        TryMapOrSink {
            f: self.f,
            on_failure: self.on_failure,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, U, E, F, H, S> Sink<T> for TryMapOrSink<F, H, S>
where
    T: Clone + Send + 'static,
    U: Send + 'static,
    E: Into<BoxError>,
    F: FnMut(T) -> Result<U, E> + Clone + Send + 'static,
    H: FnMut(T, BoxError) + Clone + Send + 'static,
    S: Sink<U>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self {
            f,
            on_failure,
            meter,
            next,
        } = self;
        let copy = event.clone();
        let result = catch_unwind(AssertUnwindSafe(|| meter.call(|| f(event))));
        let error = match result {
            Ok(Ok(event)) => return next.push(event, at),
            Ok(Err(error)) => error.into(),
            Err(payload) => {
                // The panic ends here, so nothing else may be blamed for it.
                let _ = blamed();
                FlowError::panicked(meter.info().to_string(), &*payload).into()
            }
        };
        meter.again(|| on_failure(copy, error));
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
