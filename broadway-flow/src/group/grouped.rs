//! [`Grouped`]: events by key and window, before they are aggregated.

use std::{fmt, hash::Hash, marker::PhantomData, sync::Arc};

use broadway_core::Problem;

use super::{
    combine_sink::{CombineSink, Crossing, STATES_MAX},
    durability::{Durability, Durable, Volatile},
    late::{Late, LateOutput},
    route::KeyRoute,
    shape::{InWindows, Shape},
    share::Share,
    window_sink::WindowSink,
};
use crate::{
    Aggregate, Flow, Windows,
    chain::Chain,
    flow::BEHIND_WINDOWS,
    graph::{Input, OpenSegment, Segment},
    machine::windows::{Combiner, WindowState, check},
    sink::{OperatorInfo, OutboxSink},
    window::{LateFiring, WindowKind},
};

/// Events by key and window, before they are aggregated. Made by [`Flow::partition`], and without a key by [`Flow::window`].
///
/// Behind a partition, each key is in one worker, which aggregates its events in [windows](Windows); without a window, all of them. Without a key, each worker
/// aggregates the events that it has.
///
/// An aggregate whose states [merge](Aggregate::merge) is computed in part before events cross the partition, if results are only wanted at the end of windows.
/// Each worker then holds at most 262,144 states before the partition.
#[must_use = "a flow does nothing until it is run"]
pub struct Grouped<K, T, C: Chain<Out = (K, T)>, S, D = Volatile> {
    pub(super) flow: Flow<(K, T), C>,
    /// The only key, if events have none: they stay in their workers then. Also the key of windows without events.
    pub(super) only_key: Option<K>,
    /// Whether the events of the only key go to one worker nevertheless.
    pub(super) is_gathered: bool,
    pub(super) workers: Option<usize>,
    pub(super) windows: Windows<T>,
    pub(super) late: LateOutput<K, T>,
    pub(super) problems: Vec<Problem>,
    shape: PhantomData<fn() -> (S, D)>,
}

/// What to do instead of a trigger with a state.
const WITHOUT_TRIGGER: &str = "its trigger has a state of its own, which is not saved: use `trigger_every`, `trigger_periodically`, or a trigger \
                               without a state";

/// What makes a state durable.
pub(super) const CALL_DURABLE: &str = "call `durable` before it";

impl<K, T, C: Chain<Out = (K, T)>, S> Grouped<K, T, C, S>
where
    K: Send + 'static,
    T: Send + 'static,
{
    pub(crate) const fn new(
        flow: Flow<(K, T), C>,
        only_key: Option<K>,
        windows: Windows<T>,
    ) -> Self {
        Self {
            flow,
            only_key,
            is_gathered: false,
            workers: None,
            windows,
            late: LateOutput::none(),
            problems: Vec::new(),
            shape: PhantomData,
        }
    }

    /// Makes states durable: a flow with [snapshots](Flow::snapshots) saves and restores them. Keys and states must be serializable.
    pub fn durable(self) -> Grouped<K, T, C, S, Durable> {
        self.shaped()
    }
}

impl<K, T, C, S, D> Grouped<K, T, C, S, D>
where
    K: Send + 'static,
    T: Send + 'static,
    C: Chain<Out = (K, T)>,
{
    /// Aggregates in these windows. The results are [`Windowed`](crate::Windowed).
    pub fn window(mut self, windows: Windows<T>) -> Grouped<K, T, C, S::Windowed, D>
    where
        S: InWindows,
    {
        self.windows = windows;
        self.shaped()
    }

    /// Sets the number of workers behind the partition, 1 to 1,024. Defaults to the number of cores. Has no effect without a key.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Passes events that are too late for all their windows to `output`, in the worker. Otherwise they are left out: the first one of each worker is logged, and
    /// all are counted in [`Report::late`](crate::Report::late).
    pub fn on_late(mut self, output: impl Fn(Late<K, T>) + Send + Sync + 'static) -> Self {
        self.late = LateOutput::new(output);
        self
    }

    fn shaped<Z, E>(self) -> Grouped<K, T, C, Z, E> {
        Grouped {
            flow: self.flow,
            only_key: self.only_key,
            is_gathered: self.is_gathered,
            workers: self.workers,
            windows: self.windows,
            late: self.late,
            problems: self.problems,
            shape: PhantomData,
        }
    }

    /// Aggregates with an [`Aggregate`] of your own.
    pub fn aggregate<A>(self, aggregate: A) -> Flow<S::Out>
    where
        K: Hash + Eq + Clone,
        A: Aggregate<T>,
        S: Shape<K, A::Output>,
        D: Durability<T, K, A>,
    {
        self.aggregate_as("aggregate", aggregate)
    }

    pub(super) fn aggregate_as<A>(mut self, kind: &'static str, aggregate: A) -> Flow<S::Out>
    where
        K: Hash + Eq + Clone,
        A: Aggregate<T>,
        S: Shape<K, A::Output>,
        D: Durability<T, K, A>,
    {
        self.find_problems::<A>(kind);
        let options = self.flow.options.clone();
        let info = OperatorInfo::detailed(kind, self.windows.to_string());
        let info = Arc::new(match self.windows.has_trigger_state() {
            true => info.saved_if(false, WITHOUT_TRIGGER),
            false => info.saved_if(D::IS_DURABLE, CALL_DURABLE),
        });
        let is_whole = matches!(self.windows.kind, WindowKind::Global);
        let is_in_place =
            (self.only_key.is_some() && !self.is_gathered) || self.flow.open.plan.is_sharded;
        let mut open = if is_in_place {
            self.in_place::<A>(aggregate, &info)
        } else if self.combines::<A>() {
            self.combined::<A>(aggregate, &info)
        } else {
            self.partitioned::<A>(aggregate, &info)
        };
        open.plan.operators.push(info);
        open.plan.is_windowed = true;
        // Results of the whole have no times.
        open.plan.has_time &= !is_whole;
        Flow::at(open, options)
    }

    /// Whether states are computed before the partition.
    fn combines<A: Aggregate<T>>(&self) -> bool {
        let windows = &self.windows;
        let has_panes = match windows.kind {
            WindowKind::Global => true,
            // A worker that was idle may send states of panes that are closed; single events it would send to the late output.
            WindowKind::Time { .. } => !self.flow.open.plan.may_idle,
            WindowKind::Count(_) | WindowKind::Session { .. } | WindowKind::Periodic { .. } => {
                false
            }
        };
        let fires_once = windows.lateness == 0 || windows.late == LateFiring::AtClose;
        A::MERGES && has_panes && fires_once && windows.fires_at_end_only()
    }

    fn find_problems<A: Aggregate<T>>(&mut self, kind: &str) {
        self.find_window_problems(kind);
        if self.windows.problems().is_empty() {
            self.problems.extend(check(&self.windows, A::MERGES));
        }
        if self.flow.open.plan.is_sharded {
            let found = self.sharded_problems();
            let found = found.into_iter().flatten();
            self.problems
                .extend(found.map(|message| Problem::new(kind, message)));
        }
        if self.windows.empty && self.only_key.is_none() {
            let message = "needs a flow without a key: a window without events has no key";
            self.problems.push(Problem::new("emit_empty", message));
        }
    }

    /// What another instance could not rebuild behind a topic.
    fn sharded_problems(&self) -> [Option<&'static str>; 4] {
        let windows = &self.windows;
        let is_session = matches!(windows.kind, WindowKind::Session { .. });
        let is_lasting = windows.needs_time() && windows.lateness == 0;
        [
            (!is_lasting).then_some(
                "needs windows in event time without lateness behind `repartition_through`: others cannot be rebuilt by another instance; \
                 allow for disorder instead of lateness",
            ),
            is_session.then_some(
                "needs fixed or sliding windows behind `repartition_through`: the first events of an open session may be older than results that are out, so another \
                 instance that takes over the partition would leave them out of the session",
            ),
            self.is_gathered.then_some(
                "is not possible behind `repartition_through`: each partition would have a list of its own; use `top`, and merge the lists where they arrive",
            ),
            self.flow.open.plan.is_windowed.then_some(BEHIND_WINDOWS),
        ]
    }

    /// Finds options that no operator accepts.
    pub(super) fn find_window_problems(&mut self, kind: &str) {
        self.problems.extend(self.windows.problems());
        if self.windows.needs_time() && !self.flow.open.plan.has_time {
            let message = "needs the time of events: call `event_time` before";
            self.problems.push(Problem::new(kind, message));
        }
    }

    /// Aggregates in the workers that have the events.
    fn in_place<A>(self, aggregate: A, info: &Arc<OperatorInfo>) -> OpenSegment<S::Out>
    where
        K: Hash + Eq + Clone,
        A: Aggregate<T>,
        S: Shape<K, A::Output>,
        D: Durability<T, K, A>,
    {
        let Flow { open, chain, .. } = self.flow;
        let mut open = open.erased(chain);
        open.plan.problems.extend(self.problems);
        open.with(window_sink::<K, T, A, S, D>(
            (self.windows, aggregate),
            self.only_key,
            Share::OfWorkers,
            self.late,
            info,
        ))
    }

    /// Sends events to the worker of their key.
    fn partitioned<A>(self, aggregate: A, info: &Arc<OperatorInfo>) -> OpenSegment<S::Out>
    where
        K: Hash + Eq + Clone,
        A: Aggregate<T>,
        S: Shape<K, A::Output>,
        D: Durability<T, K, A>,
    {
        let segment = self.flow.route(|_| KeyRoute::new());
        let open = behind::<(K, T)>(segment, self.workers, self.problems);
        open.with(window_sink::<K, T, A, S, D>(
            (self.windows, aggregate),
            self.only_key,
            Share::OfKeys,
            self.late,
            info,
        ))
    }

    /// Aggregates before the partition, and again behind it.
    fn combined<A>(mut self, aggregate: A, info: &Arc<OperatorInfo>) -> OpenSegment<S::Out>
    where
        K: Hash + Eq + Clone,
        A: Aggregate<T>,
        S: Shape<K, A::Output>,
        D: Durability<T, K, A>,
    {
        let before = Arc::new(OperatorInfo::new("combine"));
        self.flow.open.plan.operators.push(Arc::clone(&before));
        let (windows, part) = (self.windows.clone(), aggregate.clone());
        let segment = self.flow.finish(move |seat| {
            let combiner = Combiner::new(&windows, part.clone(), STATES_MAX);
            let route = OutboxSink::<Crossing<K, T, A::State>, _>::new(KeyRoute::new(), seat);
            CombineSink::new(combiner, true, Arc::clone(&before), route)
        });
        let open = behind::<Crossing<K, T, A::State>>(segment, self.workers, self.problems);
        open.with(window_sink::<K, T, A, S, D>(
            (self.windows, aggregate),
            self.only_key,
            Share::OfKeys,
            self.late,
            info,
        ))
    }
}

/// Begins a segment behind a partition.
pub(crate) fn behind<T: Send + 'static>(
    segment: Segment,
    workers: Option<usize>,
    problems: Vec<Problem>,
) -> OpenSegment<T> {
    let mut plan = segment.plan.next("partition");
    plan.problems.extend(problems);
    let mut open = OpenSegment::new(vec![Input::Segment(Box::new(segment))], plan);
    open.workers = workers;
    open
}

/// Makes the sinks of the workers.
#[allow(
    clippy::type_complexity,
    reason = "the factory that `OpenSegment::with` takes"
)]
fn window_sink<K, T, A, S, D>(
    (windows, aggregate): (Windows<T>, A),
    only_key: Option<K>,
    share: Share,
    late: LateOutput<K, T>,
    info: &Arc<OperatorInfo>,
) -> impl FnMut(&crate::sink::Seat, Box<dyn crate::sink::Sink<S::Out>>) -> WindowSink<K, T, A, S, D>
+ Send
+ 'static
+ use<K, T, A, S, D>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Send + 'static,
    A: Aggregate<T>,
    S: Shape<K, A::Output>,
    D: Durability<T, K, A>,
{
    let info = Arc::clone(info);
    move |seat, next| {
        let state = WindowState::new(&windows, aggregate.clone(), only_key.clone());
        WindowSink::new(state, share, late.clone(), Arc::clone(&info), seat, next)
    }
}

impl<K, T, C: Chain<Out = (K, T)>, S, D> fmt::Debug for Grouped<K, T, C, S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grouped")
            .field("flow", &self.flow)
            .field("windows", &self.windows)
            .finish_non_exhaustive()
    }
}
