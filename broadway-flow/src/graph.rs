//! The graph of a flow before it runs: segments of operators, and the boundaries between them.
//!
//! A segment runs in several workers, each of which is a stage. Its inputs are sources and other segments. Every segment has one consumer, so the
//! graph is a tree whose root is the last segment.

use std::{any::Any, sync::Arc};

use broadway_core::Problem;

use crate::{
    FlowError, FlowErrorKind,
    chain::Chain,
    run::StartBetween,
    sink::{Events, OperatorInfo, Pushed, Seat, Signal, Sink},
    source::StartSource,
};

/// Makes the running operators of a worker, in front of a sink.
pub(crate) type SinkFactory<T> = Box<dyn FnMut(&Seat) -> Box<dyn Sink<T>> + Send>;

/// Makes the running operators of a worker, with the type of its events erased.
pub(crate) type EntryFactory = Box<dyn FnMut(&Seat) -> Box<dyn Entry> + Send>;

/// The running operators of a worker.
pub(crate) trait Entry: Send {
    /// Takes the events of a packet.
    fn events(&mut self, events: Box<dyn Any + Send>) -> Pushed;

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed;
}

/// Operators that take events of type `T`.
pub(crate) struct TypedEntry<S, T> {
    sink: S,
    events: std::marker::PhantomData<fn(T)>,
}

impl<T, S: Sink<T>> TypedEntry<S, T> {
    pub(crate) const fn new(sink: S) -> Self {
        let events = std::marker::PhantomData;
        Self { sink, events }
    }
}

impl<T: Send + 'static, S: Sink<T>> Entry for TypedEntry<S, T> {
    fn events(&mut self, events: Box<dyn Any + Send>) -> Pushed {
        let events = events
            .downcast::<Events<T>>()
            .map_err(|_| FlowError::new("a boundary", FlowErrorKind::Stage, "mixed types"))?;
        let Events {
            events,
            times,
            since,
        } = *events;
        self.sink.push_all(events, times, since)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.sink.signal(signal)
    }
}

/// A complete segment.
pub(crate) struct Segment {
    pub(crate) inputs: Vec<Input>,
    /// `None`: one for each core.
    pub(crate) workers: Option<usize>,
    pub(crate) make: EntryFactory,
    pub(crate) plan: SegmentPlan,
}

/// Where the events of a segment come from.
pub(crate) enum Input {
    Source(Box<dyn StartSource>),
    Segment(Box<Segment>),
    /// A segment, and the external stages behind it.
    Between {
        segment: Box<Segment>,
        between: Box<dyn StartBetween>,
    },
}

/// What the plan shows of a segment, and what a start checks.
#[derive(Clone, Default)]
pub(crate) struct SegmentPlan {
    /// How events come in: `source`, `partition`, `shuffle`, `merge`, …
    pub(crate) boundary: &'static str,
    pub(crate) operators: Vec<Arc<OperatorInfo>>,
    pub(crate) problems: Vec<Problem>,
    /// Whether events have times.
    pub(crate) has_time: bool,
    /// Whether an input may be left out of the watermark while it is idle.
    pub(crate) may_idle: bool,
    /// Whether the input ends.
    pub(crate) is_bounded: bool,
}

impl SegmentPlan {
    /// The plan of the segment behind a boundary.
    pub(crate) fn next(&self, boundary: &'static str) -> Self {
        Self {
            boundary,
            has_time: self.has_time,
            may_idle: self.may_idle,
            is_bounded: self.is_bounded,
            ..Self::default()
        }
    }
}

impl Segment {
    /// The number of workers.
    pub(crate) fn worker_count(&self) -> usize {
        self.workers.unwrap_or_else(default_workers)
    }

    /// The invalid options of this segment and those before it.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for input in &self.inputs {
            match input {
                Input::Source(source) => problems.extend(source.problems()),
                Input::Segment(segment) | Input::Between { segment, .. } => {
                    problems.extend(segment.problems());
                }
            }
        }
        problems.extend(self.plan.problems.iter().cloned());
        if self.workers == Some(0) {
            problems.push(Problem::new("workers", "is 0: give at least 1"));
        }
        if self.worker_count() > WORKERS_MAX {
            let message = format!("is above {WORKERS_MAX}");
            problems.push(Problem::new("workers", message));
        }
        problems
    }
}

/// The most workers of a segment. More is most likely a mistake.
const WORKERS_MAX: usize = 1_024;

/// One worker for each core.
fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A segment to which operators may still be added. Its last operator emits events of type `T`.
pub(crate) struct OpenSegment<T> {
    pub(crate) inputs: Vec<Input>,
    pub(crate) workers: Option<usize>,
    /// Puts the operators so far in front of the sinks that it is given.
    pub(crate) entry: Box<dyn FnOnce(SinkFactory<T>) -> EntryFactory + Send>,
    pub(crate) plan: SegmentPlan,
}

impl<T: Send + 'static> OpenSegment<T> {
    /// A segment without operators.
    pub(crate) fn new(inputs: Vec<Input>, plan: SegmentPlan) -> Self {
        Self {
            inputs,
            workers: None,
            entry: Box::new(|mut make: SinkFactory<T>| {
                Box::new(move |seat: &Seat| -> Box<dyn Entry> {
                    Box::new(TypedEntry::<_, T>::new(make(seat)))
                })
            }),
            plan,
        }
    }

    /// Adds an operator whose output type is erased.
    pub(crate) fn with<U, S>(
        self,
        mut make: impl FnMut(&Seat, Box<dyn Sink<U>>) -> S + Send + 'static,
    ) -> OpenSegment<U>
    where
        U: Send + 'static,
        S: Sink<T>,
    {
        let entry = self.entry;
        OpenSegment {
            inputs: self.inputs,
            workers: self.workers,
            entry: Box::new(move |mut next: SinkFactory<U>| {
                entry(Box::new(move |seat| {
                    let next = next(seat);
                    Box::new(make(seat, next))
                }))
            }),
            plan: self.plan,
        }
    }

    /// Hides the type of the operators in a chain at the end of this segment.
    pub(crate) fn erased<C: Chain<In = T>>(self, chain: C) -> OpenSegment<C::Out> {
        let entry = self.entry;
        OpenSegment {
            inputs: self.inputs,
            workers: self.workers,
            entry: Box::new(move |mut make: SinkFactory<C::Out>| {
                entry(Box::new(move |seat| {
                    let next = make(seat);
                    Box::new(chain.clone().run(seat, next))
                }))
            }),
            plan: self.plan,
        }
    }

    /// Completes the segment with its last operators.
    pub(crate) fn close(self, make: SinkFactory<T>) -> Segment {
        Segment {
            inputs: self.inputs,
            workers: self.workers,
            make: (self.entry)(make),
            plan: self.plan,
        }
    }
}

/// An erased sink is a sink, with one dynamic call for a packet.
impl<T: 'static> Sink<T> for Box<dyn Sink<T>> {
    fn push(&mut self, event: T, at: crate::At) -> Pushed {
        (**self).push(event, at)
    }

    fn push_all(
        &mut self,
        events: Vec<T>,
        times: Vec<crate::Timestamp>,
        since: crate::epoch::Epoch,
    ) -> Pushed {
        (**self).push_all(events, times, since)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        (**self).signal(signal)
    }
}
