//! What a [`Runner`] reports to its observers and counters. It reads the clock for that only if there is an observer.

use std::time::Instant;

use super::Runner;
use crate::{
    engine::clock,
    error::Callback,
    stage::{
        End, Subscription, any_stage::AnyStage, notice::ConsumerNotice, stage_output::StageOutput,
    },
    telemetry::{Event, StageEvent},
};

impl<S: AnyStage, O: StageOutput<S::Out>> Runner<S, O> {
    pub(in crate::stage) fn report(&self, event: StageEvent<'_>) {
        self.emitter.emit(&Event::Stage(event));
    }

    /// Returns when a callback began, if an observer wants to know how long it takes.
    pub(super) fn callback_began(&self) -> Option<Instant> {
        self.emitter.is_heard().then(clock::now)
    }

    /// Reports that a callback has returned or failed.
    pub(super) fn report_call(&self, callback: Callback, began: Option<Instant>) {
        if let Some(began) = began {
            let elapsed = clock::now().saturating_duration_since(began);
            self.report(StageEvent::Called { callback, elapsed });
        }
    }

    /// Reports that a chunk of `count` events was handled, or that its handler failed.
    pub(super) fn report_events(&self, count: usize, began: Option<Instant>, is_ok: bool) {
        if !is_ok {
            self.report_call(Callback::HandleEvents, began);
        } else if let Some(began) = began {
            self.report(StageEvent::Handled {
                count,
                emitted: self.cx.emitted.len(),
                elapsed: clock::now().saturating_duration_since(began),
            });
        }
    }

    pub(super) fn report_demand(&self, demand: usize) {
        self.report(StageEvent::Demanded {
            demand,
            outstanding: self.cx.demand(),
        });
    }

    pub(super) fn report_emitted(&self, count: usize) {
        let outstanding = self.output.outstanding();
        self.report(StageEvent::Emitted { count, outstanding });
    }

    pub(super) fn report_notice(&self, notice: &ConsumerNotice) {
        self.report(match notice {
            ConsumerNotice::Subscribed(_) => StageEvent::ConsumerSubscribed,
            ConsumerNotice::Cancelled(_, end) => StageEvent::ConsumerCancelled { end },
        });
    }

    pub(super) fn report_subscribed(&self, subscription: &Subscription) {
        self.report(StageEvent::Subscribed {
            producer: subscription.producer(),
            subscriptions: self.inputs.len(),
        });
    }

    pub(super) fn report_cancelled(&self, subscription: &Subscription, end: &End) {
        self.report(StageEvent::Cancelled {
            producer: subscription.producer(),
            end,
            subscriptions: self.inputs.len(),
        });
    }

    /// Counts and reports what became of emitted events since the last call: those that are buffered, and those that the dispatcher
    /// dropped.
    pub(super) fn report_output(&mut self) {
        let (dropped, buffered) = (self.output.take_dropped(), self.output.buffered());
        if dropped > 0 {
            self.counters.dropped(dropped);
            self.report(StageEvent::Dropped { count: dropped });
        }
        if self.counters.buffered(buffered) {
            self.report(StageEvent::Buffered { count: buffered });
        }
    }
}
