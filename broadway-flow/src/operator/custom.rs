//! [`Operator`]: operators that users write.

use std::{marker::PhantomData, sync::Arc};

use broadway_core::BoxError;

use crate::{
    At, FlowError, FlowErrorKind, Timestamp,
    chain::Operation,
    epoch::Epoch,
    sink::{Meter, OperatorInfo, Pushed, Seat, Signal, Sink},
};

/// An operator with a state of its own, for what `map` and its relatives do not cover.
///
/// Each worker runs a clone. It is compiled together with the operators around it.
///
/// ```
/// use broadway_flow::{BoxError, Emit, Flow, Operator};
///
/// /// Emits the difference to the event before.
/// #[derive(Clone, Default)]
/// struct Differences {
///     last: Option<i64>,
/// }
///
/// impl Operator<i64> for Differences {
///     type Out = i64;
///
///     fn event(&mut self, event: i64, out: &mut impl Emit<i64>) -> Result<(), BoxError> {
///         if let Some(last) = self.last.replace(event) {
///             out.emit(event - last);
///         }
///         Ok(())
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let flow = Flow::from_iter([1, 4, 9]).workers(1).operator(Differences::default());
/// assert_eq!(flow.collect().await?, [3, 5]);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
pub trait Operator<T>: Clone + Send + 'static {
    /// The events that it emits.
    type Out: Send + 'static;

    /// Whether it has a state that matters after a restart. Snapshots do not save it, so flows with [snapshots](crate::Flow::snapshots) refuse
    /// such an operator. `true` by default.
    ///
    /// An acknowledged source keeps the messages of such an operator until the end, since its state may hold any of them; see
    /// [`is_empty`](Self::is_empty) for an operator that lets go of them. If it is `false`, messages are settled when the events that were emitted for
    /// them at once are out.
    fn keeps_state(&self) -> bool {
        true
    }

    /// Whether the state holds no event now, so that messages before need not come again after a restart. Asked after each call, for
    /// operators that [keep state](Self::keeps_state). `false` by default.
    ///
    /// An acknowledged source keeps the messages since the operator was last empty.
    ///
    /// ```
    /// use broadway_flow::{BoxError, Emit, Flow, Operator};
    ///
    /// /// Emits events in pairs, and a last one alone.
    /// #[derive(Clone, Default)]
    /// struct Pairs {
    ///     first: Option<u32>,
    /// }
    ///
    /// impl Operator<u32> for Pairs {
    ///     type Out = Vec<u32>;
    ///
    ///     // The message of the first event is settled with the one of the second.
    ///     fn is_empty(&self) -> bool {
    ///         self.first.is_none()
    ///     }
    ///
    ///     fn event(&mut self, event: u32, out: &mut impl Emit<Vec<u32>>) -> Result<(), BoxError> {
    ///         match self.first.take() {
    ///             Some(first) => out.emit(vec![first, event]),
    ///             None => self.first = Some(event),
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn finish(&mut self, out: &mut impl Emit<Vec<u32>>) -> Result<(), BoxError> {
    ///         out.emit(self.first.take().into_iter().collect());
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let flow = Flow::from_iter([1, 2, 3]).workers(1).operator(Pairs::default());
    /// assert_eq!(flow.collect().await?, [vec![1, 2], vec![3]]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    fn is_empty(&self) -> bool {
        false
    }

    /// Takes an event.
    ///
    /// # Errors
    ///
    /// An error ends the flow with a [`FlowError`] that names the operator.
    fn event(&mut self, event: T, out: &mut impl Emit<Self::Out>) -> Result<(), BoxError>;

    /// Called when the watermark has advanced: later events are not older than `at`, except late ones. Does nothing by default.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    fn watermark(&mut self, at: Timestamp, out: &mut impl Emit<Self::Out>) -> Result<(), BoxError> {
        let _ = (at, out);
        Ok(())
    }

    /// Called once, when the input has ended. What it emits has the latest time of all events. Does nothing by default.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    fn finish(&mut self, out: &mut impl Emit<Self::Out>) -> Result<(), BoxError> {
        let _ = out;
        Ok(())
    }
}

/// Where an [`Operator`] sends its events.
pub trait Emit<T> {
    /// Sends an event with [the time](Self::time) of this call.
    fn emit(&mut self, event: T);

    /// Sends an event with a time. It must not be older than the watermark.
    fn emit_at(&mut self, event: T, time: Timestamp);

    /// Returns the time of the event that is being handled, of the watermark, or, at the end, the latest time of all events;
    /// [`Timestamp::MIN`] if events have none.
    fn time(&self) -> Timestamp;
}

#[doc(hidden)]
pub struct Custom<O, T> {
    operator: O,
    info: Arc<OperatorInfo>,
    events: PhantomData<fn(T)>,
}

impl<O, T> Custom<O, T> {
    pub(crate) const fn new(operator: O, info: Arc<OperatorInfo>) -> Self {
        Self {
            operator,
            info,
            events: PhantomData,
        }
    }
}

impl<O: Clone, T> Clone for Custom<O, T> {
    fn clone(&self) -> Self {
        Self::new(self.operator.clone(), Arc::clone(&self.info))
    }
}

#[doc(hidden)]
pub struct CustomSink<O, S> {
    operator: O,
    keeps_state: bool,
    /// The latest time, and the oldest epoch of the events in the state.
    at: At,
    meter: Meter,
    next: S,
}

struct Emitter<'a, S> {
    next: &'a mut S,
    at: At,
    pushed: Pushed,
}

impl<T, S: Sink<T>> Emit<T> for Emitter<'_, S> {
    #[inline]
    fn emit(&mut self, event: T) {
        self.emit_at(event, self.at.time);
    }

    #[inline]
    fn emit_at(&mut self, event: T, time: Timestamp) {
        if self.pushed.is_ok() {
            self.pushed = self.next.push(event, At { time, ..self.at });
        }
    }

    fn time(&self) -> Timestamp {
        self.at.time
    }
}

impl<T: Send + 'static, O: Operator<T>> Operation<T> for Custom<O, T> {
    type Out = O::Out;
    type Run<S: Sink<O::Out>> = CustomSink<O, S>;

    fn run<S: Sink<O::Out>>(self, _seat: &Seat, next: S) -> CustomSink<O, S> {
        CustomSink {
            keeps_state: self.operator.keeps_state(),
            operator: self.operator,
            at: At::NONE,
            meter: Meter::new(self.info),
            next,
        }
    }
}

impl<O, S> CustomSink<O, S> {
    /// Runs a callback of the operator.
    #[inline]
    fn call<T>(
        &mut self,
        at: At,
        callback: impl FnOnce(&mut O, &mut Emitter<'_, S>) -> Result<(), BoxError>,
    ) -> Pushed
    where
        O: Operator<T>,
    {
        let mut out = Emitter {
            next: &mut self.next,
            at,
            pushed: Ok(()),
        };
        let operator = &mut self.operator;
        let (result, is_empty) = self
            .meter
            .again(|| (callback(operator, &mut out), operator.is_empty()));
        if is_empty {
            self.at.since = Epoch::NONE;
        }
        out.pushed?;
        result.map_err(|error| {
            let operator = self.meter.info().to_string();
            FlowError::new(operator, FlowErrorKind::Error, error)
        })
    }
}

impl<T: Send + 'static, O: Operator<T>, S: Sink<O::Out>> Sink<T> for CustomSink<O, S> {
    #[inline]
    fn push(&mut self, event: T, mut at: At) -> Pushed {
        self.meter.count();
        self.at.time = self.at.time.max(at.time);
        if self.keeps_state {
            // What it emits may be made of any event in the state.
            self.at.since = self.at.since.min(at.since);
            at.since = self.at.since;
        }
        self.call(at, |operator, out| operator.event(event, out))
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Watermark(to) => {
                let (time, to) = (*to, *to);
                // Events that are emitted at the end are not late.
                self.at.time = self.at.time.max(time);
                let since = self.at.since;
                self.call(At { time, since }, |operator, out| {
                    operator.watermark(to, out)
                })?;
            }
            Signal::Finish => {
                let at = self.at;
                self.call(at, |operator, out| operator.finish(out))?;
                self.at = At::NONE;
            }
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.at.since),
            _ => {}
        }
        self.next.signal(signal)
    }
}
