//! Event time.

use std::sync::Arc;

use broadway_core::Problem;

use super::{Flow, boundary::RoundRobin};
use crate::{
    chain::Chain,
    graph::{Input, OpenSegment},
    operator::{EventTime, EventTimeSink},
    sink::{OperatorInfo, OutboxSink},
};

impl<T: Send + 'static, C: Chain<Out = T>> Flow<T, C> {
    /// Gives events their times, and computes the watermark from them, for windows. A new segment begins behind it.
    ///
    /// The operators before it, back to the last boundary, run in one worker: the order in which events come from their source shows how far time has come. So
    /// put expensive operators behind it.
    pub fn event_time(mut self, times: EventTime<T>) -> Flow<T> {
        let options = self.options.clone();
        let info = OperatorInfo::detailed("event_time", times.to_string());
        let info = Arc::new(info.saved());
        self.open.plan.operators.push(Arc::clone(&info));
        self.open.plan.problems.extend(times.problems());
        if self.open.plan.is_sharded {
            return self.event_time_in_place(times, &info);
        }
        if self.open.workers.is_some_and(|workers| workers > 1) {
            let message = "must be 1 before `event_time`, which needs the order of the source: set more behind it";
            self.open
                .plan
                .problems
                .push(Problem::new("workers", message));
        }
        self.open.workers = Some(1);
        let may_idle = times.may_idle();
        let segment = self.finish(move |seat| {
            let out = OutboxSink::new(RoundRobin::new(seat), seat);
            EventTimeSink::new(times.clone(), Arc::clone(&info), seat, out)
        });
        let mut plan = segment.plan.next("shuffle");
        plan.has_time = true;
        plan.may_idle = may_idle;
        let inputs = vec![Input::Segment(Box::new(segment))];
        Flow::at(OpenSegment::new(inputs, plan), options)
    }

    /// Each partition has its own clock.
    fn event_time_in_place(self, times: EventTime<T>, info: &Arc<OperatorInfo>) -> Flow<T> {
        let Self {
            open,
            chain,
            options,
        } = self;
        let info = Arc::clone(info);
        let mut open = open.erased(chain).with(move |seat, next| {
            EventTimeSink::new(times.clone(), Arc::clone(&info), seat, next)
        });
        open.plan.has_time = true;
        Flow::at(open, options)
    }
}
