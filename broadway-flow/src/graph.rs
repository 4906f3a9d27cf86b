//! The graph of a flow before it runs: segments of operators, and the boundaries between them.
//!
//! A segment runs in several workers, each of which is a stage. Its inputs are sources and other segments. Every segment has one consumer, so the
//! graph is a tree whose root is the last segment.

use std::sync::{Arc, Mutex, PoisonError};

use broadway_core::Problem;

use crate::{
    chain::Chain,
    shard::ShardedEntry,
    sink::{Entry, EntryFactory, OperatorInfo, Seat, Sink, SinkFactory, TypedEntry},
    source::StartSource,
    stages::StartBetween,
};

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

impl Input {
    /// The segment that it is, or has.
    pub(crate) fn segment(&self) -> Option<&Segment> {
        match self {
            Self::Source(_) => None,
            Self::Segment(segment) | Self::Between { segment, .. } => Some(segment),
        }
    }
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
    /// Whether the operators run for each partition of the source on its own.
    pub(crate) is_sharded: bool,
    /// Whether events went through windows in this segment.
    pub(crate) is_windowed: bool,
}

impl SegmentPlan {
    /// Adds an operator.
    pub(crate) fn add(&mut self, kind: &'static str) -> Arc<OperatorInfo> {
        let info = Arc::new(OperatorInfo::new(kind));
        self.operators.push(Arc::clone(&info));
        info
    }

    /// The plan of the segment behind a boundary.
    pub(crate) fn next(&self, boundary: &'static str) -> Self {
        let mut problems = Vec::new();
        if self.is_sharded {
            let message = "is not possible here: behind `repartition_through`, events stay with their partition up to the end";
            problems.push(Problem::new(boundary, message));
        }
        Self {
            boundary,
            problems,
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

    /// The operators, from the sources to the end.
    pub(crate) fn operators(&self) -> Vec<Arc<OperatorInfo>> {
        let segments = self.inputs.iter().filter_map(Input::segment);
        let mut operators: Vec<_> = segments.flat_map(Self::operators).collect();
        operators.extend(self.plan.operators.iter().cloned());
        operators
    }

    /// What keeps messages from being settled, or states from being saved.
    pub(crate) fn settlement_problems(&self, has_snapshots: bool) -> Vec<Problem> {
        let mut sources = Vec::new();
        let mut volatile = Vec::new();
        self.visit(&mut sources, &mut volatile);
        let acked = sources.iter().filter(|is_acked| **is_acked).count();
        let mut problems = Vec::new();
        if acked > 0 && sources.len() > 1 {
            let message = "is acknowledged, so it must be the only source of its flow: barriers of several sources are not aligned";
            problems.push(Problem::new("source", message));
        }
        if acked > 0 && self.has_external_stages() {
            let message = "is not possible with an acknowledged source: stages outside the flow do not pass its barriers on";
            problems.push(Problem::new("through", message));
        }
        if has_snapshots && self.is_sharded() {
            let message = "are not possible behind `repartition_through`, where the state of a partition that moves is rebuilt from the topic: leave them out, \
                           or call `snapshots` in front of it, for the first part";
            problems.push(Problem::new("snapshots", message));
        } else if has_snapshots {
            if acked == 0 {
                let message = "need an acknowledged source, which goes on where the snapshot ends: see `from_source`";
                problems.push(Problem::new("snapshots", message));
            }
            for (operator, advice) in volatile {
                let message = format!("do not save the state of {operator}: {advice}");
                problems.push(Problem::new("snapshots", message));
            }
        }
        problems
    }

    /// Whether an acknowledged source is among the inputs.
    pub(crate) fn is_acked(&self) -> bool {
        self.inputs.iter().any(|input| match input {
            Input::Source(source) => source.info().is_acked,
            Input::Segment(segment) | Input::Between { segment, .. } => segment.is_acked(),
        })
    }

    /// Whether this segment, or one before it, runs for each partition of the source on its own.
    fn is_sharded(&self) -> bool {
        let before = || self.inputs.iter().filter_map(Input::segment);
        self.plan.is_sharded || before().any(Self::is_sharded)
    }

    /// Whether events leave the flow in between.
    fn has_external_stages(&self) -> bool {
        self.inputs.iter().any(|input| {
            matches!(input, Input::Between { .. })
                || input
                    .segment()
                    .is_some_and(|segment| segment.has_external_stages())
        })
    }

    /// Collects whether each source is acknowledged, and the operators whose state cannot be saved, with advice.
    fn visit(&self, sources: &mut Vec<bool>, volatile: &mut Vec<(String, &'static str)>) {
        for input in &self.inputs {
            match input {
                Input::Source(source) => sources.push(source.info().is_acked),
                Input::Segment(segment) | Input::Between { segment, .. } => {
                    segment.visit(sources, volatile);
                }
            }
        }
        let operators = self.plan.operators.iter();
        volatile.extend(
            operators.filter_map(|operator| Some((operator.to_string(), operator.volatile?))),
        );
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

    /// A segment that runs its operators for each shard of its source on its own.
    pub(crate) fn sharded(source: Input, plan: SegmentPlan) -> Self {
        Self {
            inputs: vec![source],
            workers: None,
            entry: Box::new(|make: SinkFactory<T>| {
                let make = Arc::new(Mutex::new(make));
                Box::new(move |seat: &Seat| -> Box<dyn Entry> {
                    let make = Arc::clone(&make);
                    let make: SinkFactory<T> = Box::new(move |seat| {
                        let mut make = make.lock().unwrap_or_else(PoisonError::into_inner);
                        make(seat)
                    });
                    Box::new(ShardedEntry::new(make, seat))
                })
            }),
            plan,
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
