//! Boundaries without a key: shuffle and merge.

use super::Flow;
use crate::{
    chain::Chain,
    graph::{Input, OpenSegment, Segment, SegmentPlan},
    sink::{Route, Seat},
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Spreads the events over the workers of a new segment, packet by packet. Set their number with [`workers`](Self::workers) behind it.
    pub fn shuffle(self) -> Flow<T> {
        self.into_next("shuffle", RoundRobin::new)
    }

    /// Adds the events of another flow, in a new segment. Its watermark is the earliest of both.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let even = Flow::from_iter([2, 4]);
    /// let mut all = Flow::from_iter([1, 3]).merge(even).collect().await?;
    /// all.sort();
    /// assert_eq!(all, [1, 2, 3, 4]);
    /// # Ok(())
    /// # }
    /// # tokio::runtime::Runtime::new().unwrap().block_on(run()).unwrap();
    /// ```
    pub fn merge<D: Chain<Out = T>>(self, other: Flow<T, D>) -> Flow<T> {
        let options = self.options.clone();
        let segments = [self.route(RoundRobin::new), other.route(RoundRobin::new)];
        Flow::at(behind_both("merge", segments), options)
    }

    /// Ends the segment, and begins the next.
    pub(crate) fn into_next<R: Route<T>>(
        self,
        boundary: &'static str,
        route: impl FnMut(&Seat) -> R + Send + 'static,
    ) -> Flow<T> {
        let options = self.options.clone();
        let segment = self.route(route);
        let plan = segment.plan.next(boundary);
        let inputs = vec![Input::Segment(Box::new(segment))];
        Flow::at(OpenSegment::new(inputs, plan), options)
    }
}

/// Begins a segment that reads from two others.
pub(crate) fn behind_both<T: Send + 'static>(
    boundary: &'static str,
    segments: [Segment; 2],
) -> OpenSegment<T> {
    let plan = SegmentPlan {
        boundary,
        has_time: segments.iter().all(|segment| segment.plan.has_time),
        may_idle: segments.iter().any(|segment| segment.plan.may_idle),
        is_bounded: segments.iter().all(|segment| segment.plan.is_bounded),
        problems: segments
            .iter()
            .flat_map(|segment| segment.plan.next(boundary).problems)
            .collect(),
        ..SegmentPlan::default()
    };
    let inputs = segments.map(|segment| Input::Segment(Box::new(segment)));
    OpenSegment::new(inputs.into(), plan)
}

/// Sends each packet to the next worker. Workers begin at different ones.
pub(crate) struct RoundRobin {
    next: usize,
}

impl RoundRobin {
    pub(crate) fn new(seat: &Seat) -> Self {
        Self {
            next: seat.worker() % seat.targets.max(1),
        }
    }
}

impl<T> Route<T> for RoundRobin {
    fn route(&mut self, _event: &T, _targets: usize) -> usize {
        self.next
    }

    fn packet_complete(&mut self, targets: usize) {
        self.next = (self.next + 1) % targets;
    }
}
