//! `flat_map`: one event becomes none, one or many.

use std::sync::Arc;

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `flat_map`: one event becomes none, one or many.
#[doc(hidden)]
#[derive(Clone)]
pub struct FlatMap<F> {
    f: F,
    info: Arc<OperatorInfo>,
}

impl<F> FlatMap<F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self { f, info }
    }
}

#[doc(hidden)]
pub struct FlatMapSink<F, S> {
    f: F,
    meter: Meter,
    next: S,
}

impl<T, I, F> Operation<T> for FlatMap<F>
where
    T: Send + 'static,
    I: IntoIterator<Item: Send + 'static>,
    F: FnMut(T) -> I + Clone + Send + 'static,
{
    type Out = I::Item;
    type Run<S: Sink<I::Item>> = FlatMapSink<F, S>;

    fn run<S: Sink<I::Item>>(self, _seat: &Seat, next: S) -> FlatMapSink<F, S> {
        FlatMapSink {
            f: self.f,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, I, F, S> Sink<T> for FlatMapSink<F, S>
where
    T: Send + 'static,
    I: IntoIterator<Item: Send + 'static>,
    F: FnMut(T) -> I + Clone + Send + 'static,
    S: Sink<I::Item>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self { f, meter, next } = self;
        let mut events = meter.call(|| f(event)).into_iter();
        // The iterator is the user's code as well.
        while let Some(event) = meter.again(|| events.next()) {
            next.push(event, at)?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        self.next.signal(signal)
    }
}
