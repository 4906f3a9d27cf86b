//! [`Join`]: two flows by key, before their events are joined.

use std::{fmt, hash::Hash, sync::Arc};

use broadway_core::Problem;

use super::{Side, join_sink::JoinSink};
use crate::{
    Flow, Late, Windows,
    flow::behind_both,
    graph::Segment,
    group::LateOutput,
    machine::joins::{JoinMode, JoinState},
    run::Options,
    sink::OperatorInfo,
    window::WindowKind,
};

/// The most items of a join in time windows, unless it is set.
const ITEMS_MAX: usize = 1_000_000;

/// What to do instead in a flow with snapshots.
const WITHOUT_JOIN: &str = "a flow with snapshots reads from one source, and a join from two: look the events of the other side up with `enrich`";

/// Two flows by key, before their events are joined. Made by [`Flow::join`].
///
/// Events are joined if they have the same key, and if they share a [window](Self::within). A pair is emitted when the second of its events
/// arrives, and an event without a partner, in [`left`](Self::left), [`right`](Self::right) and [`full`](Self::full) joins, when its window
/// closes or the input ends.
///
/// # Times
///
/// The time of a result is the last millisecond of its window. A window accepts events until the watermark has passed its end and its
/// lateness, so the watermark behind the join is older by the lateness: no result is late there. Without windows, a pair has the later time
/// of both events, and an event without a partner the last watermark, if that is later than its own time.
///
/// # Limits
///
/// A join holds the events of both sides until their window closes; without windows, until the input ends. Each worker holds at most
/// [`items_max`](Self::items_max) events. One more ends the flow with an error of the kind [`Limit`](crate::FlowErrorKind::Limit).
///
/// A flow with a join has at least two sources, so it has no acknowledged source and no [snapshots](Flow::snapshots): the events that a
/// join holds are lost with the process.
#[must_use = "a flow does nothing until it is run"]
pub struct Join<K, L, R> {
    sides: [Segment; 2],
    options: Options,
    workers: Option<usize>,
    windows: Windows<()>,
    items_max: Option<usize>,
    late: LateOutput<K, Side<L, R>>,
}

impl<K, L, R> Join<K, L, R>
where
    K: Hash + Eq + Clone + Send + 'static,
    L: Clone + Send + 'static,
    R: Clone + Send + 'static,
{
    pub(crate) const fn new(sides: [Segment; 2], options: Options) -> Self {
        Self {
            sides,
            options,
            workers: None,
            windows: Windows::global(),
            items_max: None,
            late: LateOutput::none(),
        }
    }

    /// Joins events of the same window only: fixed or sliding ones, with an offset and a lateness. Both flows need
    /// [event times](Flow::event_time). In sliding windows a pair is emitted once for each window that both events are in.
    pub fn within(mut self, windows: Windows<()>) -> Self {
        self.windows = windows;
        self
    }

    /// Sets how many events each worker holds at most, both sides together. Defaults to 1,000,000 with windows. Without windows it must be
    /// set.
    pub const fn items_max(mut self, items_max: usize) -> Self {
        self.items_max = Some(items_max);
        self
    }

    /// Sets the number of workers that join, 1 to 1,024. Defaults to the number of cores.
    pub const fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Passes events that are too late for all their windows to `output`, in the worker. Otherwise they are left out: the first one of each
    /// worker is logged, and all are counted in [`Report::late`](crate::Report::late).
    pub fn on_late(mut self, output: impl Fn(Late<K, Side<L, R>>) + Send + Sync + 'static) -> Self {
        self.late = LateOutput::new(output);
        self
    }

    /// Calls `f` with each pair. Events without a partner are dropped.
    pub fn inner<U, F>(self, mut f: F) -> Flow<U>
    where
        U: Send + 'static,
        F: FnMut(L, R) -> U + Clone + Send + 'static,
    {
        self.joined(JoinMode::Inner, "inner", move |left, right| {
            let left = left.expect("an inner join emits only pairs");
            f(left, right.expect("an inner join emits only pairs"))
        })
    }

    /// Calls `f` with each pair, and with each event on the left that has no partner in its window.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let orders = Flow::from_iter([("ada", 3), ("bob", 5)]);
    /// let cities = Flow::from_iter([("ada", "London")]);
    /// let joined = orders
    ///     .join(cities, |order| order.0, |city| city.0)
    ///     .items_max(1_000)
    ///     .left(|order, city| (order.0, city.map(|city| city.1)));
    /// let mut joined = joined.collect().await?;
    /// joined.sort();
    /// assert_eq!(joined, [("ada", Some("London")), ("bob", None)]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn left<U, F>(self, mut f: F) -> Flow<U>
    where
        U: Send + 'static,
        F: FnMut(L, Option<R>) -> U + Clone + Send + 'static,
    {
        self.joined(JoinMode::Left, "left", move |left, right| {
            f(
                left.expect("a left join emits no event on the right alone"),
                right,
            )
        })
    }

    /// Calls `f` with each pair, and with each event on the right that has no partner in its window.
    pub fn right<U, F>(self, mut f: F) -> Flow<U>
    where
        U: Send + 'static,
        F: FnMut(Option<L>, R) -> U + Clone + Send + 'static,
    {
        self.joined(JoinMode::Right, "right", move |left, right| {
            f(
                left,
                right.expect("a right join emits no event on the left alone"),
            )
        })
    }

    /// Calls `f` with each pair, and with each event on either side that has no partner in its window: at least one of both is `Some`.
    pub fn full<U, F>(self, f: F) -> Flow<U>
    where
        U: Send + 'static,
        F: FnMut(Option<L>, Option<R>) -> U + Clone + Send + 'static,
    {
        self.joined(JoinMode::Full, "full", f)
    }

    fn joined<U, F>(self, mode: JoinMode, mode_name: &str, f: F) -> Flow<U>
    where
        U: Send + 'static,
        F: FnMut(Option<L>, Option<R>) -> U + Clone + Send + 'static,
    {
        let items_max = self.items_max.unwrap_or(ITEMS_MAX);
        let detail = format!(
            "{mode_name}, {}, at most {items_max} items per worker",
            self.windows
        );
        let info = OperatorInfo::detailed("join", detail);
        let info = Arc::new(info.saved_if(false, WITHOUT_JOIN));
        let problems = self.problems();
        let mut open = behind_both::<(K, Side<L, R>)>("join", self.sides);
        open.workers = self.workers;
        open.plan.problems = problems;
        open.plan.operators.push(Arc::clone(&info));
        let (kind, lateness) = (self.windows.kind, self.windows.lateness);
        let late = self.late;
        let open = open.with(move |_, next| {
            let state = JoinState::new(kind, lateness, mode, items_max);
            let state = state.expect("other windows are refused at the start");
            let (f, late, info) = (f.clone(), late.clone(), Arc::clone(&info));
            JoinSink::new(state, lateness, f, late, info, next)
        });
        Flow::at(open, self.options)
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.windows.problems();
        match self.windows.kind {
            WindowKind::Global if self.items_max.is_none() => {
                let message =
                    "joins keep all events of an unbounded input: give `items_max`, or windows";
                problems.push(Problem::new("items_max", message));
            }
            WindowKind::Global => {}
            WindowKind::Time { .. } => {
                if !self.sides.iter().all(|side| side.plan.has_time) {
                    let message =
                        "needs the time of events: call `event_time` before, on both sides";
                    problems.push(Problem::new("within", message));
                }
            }
            WindowKind::Count(_) | WindowKind::Session { .. } | WindowKind::Periodic { .. } => {
                let message = "must be fixed or sliding windows";
                problems.push(Problem::new("within", message));
            }
        }
        if self.windows.has_firing_options() {
            let message = "takes no options of firing: a pair is emitted at once";
            problems.push(Problem::new("within", message));
        }
        if self.items_max == Some(0) {
            problems.push(Problem::new("items_max", "is 0: give at least 1"));
        }
        problems
    }
}

impl<K, L, R> fmt::Debug for Join<K, L, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("options", &self.options)
            .field("windows", &self.windows)
            .field("items_max", &self.items_max)
            .finish_non_exhaustive()
    }
}
