//! [`Flow`]: describes a dataflow, and runs it.

mod boundary;
mod deliver;
mod departition;
mod emit_and_reduce;
mod mapping;
mod repartition;
mod sources;
mod terminal;
mod through;
mod time;

pub(crate) use boundary::behind_both;
pub use terminal::FlowStream;

use std::{sync::Arc, time::Duration};

use broadway_core::Problem;

use crate::{
    SnapshotStore,
    chain::{Chain, Operation, Start, Then},
    graph::{OpenSegment, Segment},
    plan::Plan,
    run::Options,
    sink::{OperatorInfo, OutboxSink, Route, Seat, Sink},
    snapshot::Snapshots,
};

/// Why no state is kept behind the windows of a partition.
pub(crate) const BEHIND_WINDOWS: &str = "is not possible behind a windowed operator behind `repartition_through`: results that are out are not made again when a partition moves, so its state \
     would lack them; put another `repartition_through` between them, or aggregate further where the results arrive";

/// A dataflow whose last operator emits events of type `T`.
///
/// A flow is a description: each method returns a longer one, and nothing runs before [`run`](Self::run), [`collect`](Self::collect) or another method at the
/// end. It then runs in stages: a source is a stage, and the operators between two boundaries (`partition`, `shuffle`, `merge`, …) run together in each of
/// several workers, which are stages, too. Demand goes from the end to the sources, so memory is bounded by the events in flight.
///
/// `C` is the type of the operators since the last boundary. Write `Flow<T, impl Chain<Out = T>>` where a function returns a flow with operators, or end
/// with a boundary or [`boxed`](Self::boxed), behind which the type is `Flow<T>`.
///
/// ```
/// use broadway_flow::Flow;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut squares = Flow::from_iter(1..=4).map(|n| n * n).collect().await?;
/// squares.sort();
/// assert_eq!(squares, [1, 4, 9, 16]);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
/// ```
///
/// # Order
///
/// Events that go through one worker keep their order. Several workers run at once, so with more than one, events reach the end in any order.
///
/// # Limits
///
/// A packet has at most 1,000 events. A worker asks each stage that it reads from for 4 packets beforehand, and at most 8 packets wait for a worker at each
/// worker that sends to it. What a flow keeps besides is the state of `reduce`, windows, `uniq` and joins; see there.
#[must_use = "a flow does nothing until it is run"]
pub struct Flow<T, C: Chain<Out = T> = Start<T>> {
    pub(crate) open: OpenSegment<C::In>,
    pub(crate) chain: C,
    pub(crate) options: Options,
}

impl<T: Send + 'static> Flow<T> {
    /// A flow at the beginning of a segment.
    pub(crate) const fn at(open: OpenSegment<T>, options: Options) -> Self {
        Self {
            open,
            chain: Start::new(),
            options,
        }
    }
}

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Names the flow, for its stages, logs and errors. Defaults to `flow`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into().into());
        self
    }

    /// Shows a progress bar on standard error while [`run`](Self::run), [`collect`](Self::collect) or [`for_each`](Self::for_each) runs the
    /// flow, as [`RunningFlow::wait_with_bar`](crate::RunningFlow::wait_with_bar) does; see there for what it shows, and its limits. It has no
    /// effect on the other methods at the end. [`merge`](Self::merge) keeps the options of the flow on which it is called.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let report = Flow::from_iter(0..10_000).name("squares").progress_bar().map(|n| n * n).run().await?;
    /// println!("{report}");
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    #[cfg(feature = "progress")]
    #[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
    pub fn progress_bar(mut self) -> Self {
        self.options.bar = Some(indicatif::ProgressDrawTarget::stderr);
        self
    }

    /// Sets the number of workers that run the operators since the last boundary, 1 to 1,024. Defaults to the number of cores. With one worker, events
    /// keep the order of their source.
    pub fn workers(mut self, workers: usize) -> Self {
        self.open.workers = Some(workers);
        self
    }

    /// Names the last operator, for errors and [`explain`](Self::explain).
    pub fn named(self, name: impl Into<String>) -> Self {
        if let Some(info) = self.open.plan.operators.last() {
            // The first name stays.
            let _ = info.name.set(name.into().into());
        }
        self
    }

    /// Returns the plan: sources, segments, workers and operators. Its [`Display`](std::fmt::Display) writes text, and
    /// [`mermaid`](Plan::mermaid) a diagram.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// let flow = Flow::from_iter(0..10).workers(2).map(|n| n + 1).named("increment");
    /// assert_eq!(
    ///     flow.explain().to_string(),
    ///     "1. source: iterator, 10 events\n2. 2 workers\n   - map \"increment\"\n",
    /// );
    /// ```
    #[must_use]
    pub fn explain(self) -> Plan {
        Plan::of(&self.finish(|_| crate::sink::Discard))
    }

    /// Saves the state of the flow every `interval`, and restores it at the start: aggregations that are [durable](crate::Grouped::durable), together with the
    /// positions of the source that they belong to.
    ///
    /// With [positions](crate::FlowSource::positions), the results after a restart equal the results of a flow that never stopped; results that were emitted since the last
    /// snapshot are emitted again. Without, messages since the last snapshot count twice. Messages are settled when a snapshot that has their effect is saved.
    ///
    /// When the input ends, all windows are emitted, and a last snapshot has the positions alone: the next start begins with an empty state.
    ///
    /// A snapshot is the whole state: it is collected in memory, and written while the flow goes on. A state belongs to an operator by its kind, its
    /// name, and its place among operators with the same ones, so other operators may be added or removed. A start fails if a saved state has no such operator,
    /// or another form. The number of workers may change.
    ///
    /// Behind [`repartition_through`](Self::repartition_through), snapshots are refused: state is rebuilt from the topic there.
    pub fn snapshots(mut self, store: impl SnapshotStore, interval: Duration) -> Self {
        self.options.snapshots = Some(Snapshots {
            store: Arc::new(store),
            every: interval,
        });
        self
    }

    /// Hides the type of the operators: a flow of a simple type, for one dynamic call per event.
    pub fn boxed(self) -> Flow<T> {
        let Self {
            open,
            chain,
            options,
        } = self;
        Flow::at(open.erased(chain), options)
    }

    /// Adds an operator.
    pub(crate) fn then<O: Operation<T>>(
        mut self,
        info: OperatorInfo,
        operation: impl FnOnce(Arc<OperatorInfo>) -> O,
    ) -> Flow<O::Out, Then<C, O>> {
        let info = Arc::new(info);
        let plan = &mut self.open.plan;
        if plan.is_sharded && plan.is_windowed && info.volatile.is_some() {
            let problem = Problem::new(info.to_string(), BEHIND_WINDOWS);
            plan.problems.push(problem);
        }
        plan.operators.push(Arc::clone(&info));
        Flow {
            open: self.open,
            chain: Then::new(self.chain, operation(info)),
            options: self.options,
        }
    }

    /// Completes the segment with a last operator.
    pub(crate) fn finish<S: Sink<T>>(
        self,
        mut make: impl FnMut(&Seat) -> S + Send + 'static,
    ) -> Segment {
        let chain = self.chain;
        self.open.close(Box::new(move |seat| {
            let last = make(seat);
            Box::new(chain.clone().run(seat, last))
        }))
    }

    /// Completes the segment with a boundary.
    pub(crate) fn route<R: Route<T>>(
        self,
        mut route: impl FnMut(&Seat) -> R + Send + 'static,
    ) -> Segment {
        self.finish(move |seat| OutboxSink::new(route(seat), seat))
    }
}

impl<T, C: Chain<Out = T>> std::fmt::Debug for Flow<T, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
