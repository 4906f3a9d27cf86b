//! `emit_and_reduce`: adds events to a state, and emits events on the way and at the end.

use std::{marker::PhantomData, mem, sync::Arc};

use crate::{
    At,
    chain::Operation,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// `emit_and_reduce`: adds events to a state, and emits events on the way and at the end.
#[doc(hidden)]
pub struct EmitAndReduce<A, U, I, F, G> {
    init: I,
    step: F,
    finish: G,
    info: Arc<OperatorInfo>,
    types: PhantomData<fn(A) -> U>,
}

impl<A, U, I, F, G> EmitAndReduce<A, U, I, F, G> {
    pub(crate) const fn new(init: I, step: F, finish: G, info: Arc<OperatorInfo>) -> Self {
        Self {
            init,
            step,
            finish,
            info,
            types: PhantomData,
        }
    }
}

impl<A, U, I: Clone, F: Clone, G: Clone> Clone for EmitAndReduce<A, U, I, F, G> {
    fn clone(&self) -> Self {
        let (init, step, finish) = (self.init.clone(), self.step.clone(), self.finish.clone());
        Self::new(init, step, finish, Arc::clone(&self.info))
    }
}

#[doc(hidden)]
pub struct EmitAndReduceSink<A, U, I, F, G, S> {
    init: I,
    step: F,
    finish: G,
    state: Option<A>,
    /// The latest time, and the oldest epoch of the events in the state.
    at: At,
    /// Where `step` leaves its events. Empty between calls.
    emitted: Vec<U>,
    meter: Meter,
    next: S,
}

impl<T, A, U, J, I, F, G> Operation<T> for EmitAndReduce<A, U, I, F, G>
where
    T: Send + 'static,
    A: Send + 'static,
    U: Send + 'static,
    J: IntoIterator<Item = U>,
    I: Fn() -> A + Clone + Send + 'static,
    F: FnMut(&mut A, T, &mut Vec<U>) + Clone + Send + 'static,
    G: FnMut(A) -> J + Clone + Send + 'static,
{
    type Out = U;
    type Run<S: Sink<U>> = EmitAndReduceSink<A, U, I, F, G, S>;

    fn run<S: Sink<U>>(self, _seat: &Seat, next: S) -> Self::Run<S> {
        EmitAndReduceSink {
            init: self.init,
            step: self.step,
            finish: self.finish,
            state: None,
            at: At::NONE,
            emitted: Vec::new(),
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<T, A, U, J, I, F, G, S> Sink<T> for EmitAndReduceSink<A, U, I, F, G, S>
where
    T: Send + 'static,
    A: Send + 'static,
    U: Send + 'static,
    J: IntoIterator<Item = U>,
    I: Fn() -> A + Send + 'static,
    F: FnMut(&mut A, T, &mut Vec<U>) + Send + 'static,
    G: FnMut(A) -> J + Send + 'static,
    S: Sink<U>,
{
    #[inline]
    fn push(&mut self, event: T, at: At) -> Pushed {
        let Self {
            init,
            step,
            state,
            emitted,
            meter,
            ..
        } = self;
        self.at.time = self.at.time.max(at.time);
        self.at.since = self.at.since.min(at.since);
        meter.call(|| step(state.get_or_insert_with(&*init), event, emitted));
        // The events may be made of any event so far.
        let since = self.at.since;
        for event in self.emitted.drain(..) {
            self.next.push(event, At { since, ..at })?;
        }
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            // Not older than the watermark, so that the events of the end are not late.
            Signal::Watermark(to) => self.at.time = self.at.time.max(*to),
            Signal::Finish => {
                let at = mem::replace(&mut self.at, At::NONE);
                if let Some(state) = self.state.take() {
                    let finish = &mut self.finish;
                    let mut events = self.meter.again(|| finish(state)).into_iter();
                    while let Some(event) = self.meter.again(|| events.next()) {
                        self.next.push(event, at)?;
                    }
                }
            }
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.at.since),
            _ => {}
        }
        self.next.signal(signal)
    }
}
