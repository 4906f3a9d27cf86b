//! What a [`Runner`] tells its observer. It reads the clock for that only if there is one.

use std::time::Instant;

use super::{End, Subscription, body::Body, emission::Emits, output::Notice, runner::Runner};
use crate::engine::clock;
use crate::{
    error::Callback,
    telemetry::{Event, StageEvent},
};

impl<B: Body, O: Emits<B::Out>> Runner<B, O> {
    pub(super) fn tell(&self, event: StageEvent<'_>) {
        self.emitter.emit(&Event::Stage(event));
    }

    /// When a callback begins, if anybody hears how long it took.
    pub(super) fn begins(&self) -> Option<Instant> {
        self.emitter.is_heard().then(clock::now)
    }

    /// A callback that began at `began` has come to its end, well or not.
    pub(super) fn tell_called(&self, callback: Callback, began: Option<Instant>) {
        if let Some(began) = began {
            let elapsed = clock::now().saturating_duration_since(began);
            self.tell(StageEvent::Called { callback, elapsed });
        }
    }

    /// A chunk of `count` events is handled, or its handler failed.
    pub(super) fn tell_events(&self, count: usize, began: Option<Instant>, is_ok: bool) {
        if !is_ok {
            self.tell_called(Callback::HandleEvents, began);
        } else if let Some(began) = began {
            self.tell(StageEvent::Handled {
                count,
                emitted: self.cx.emitted.len(),
                elapsed: clock::now().saturating_duration_since(began),
            });
        }
    }

    pub(super) fn tell_demanded(&self, demand: usize) {
        self.tell(StageEvent::Demanded {
            demand,
            outstanding: self.cx.demand(),
        });
    }

    pub(super) fn tell_emitted(&self, count: usize) {
        let outstanding = self.output.asked();
        self.tell(StageEvent::Emitted { count, outstanding });
    }

    pub(super) fn tell_notice(&self, notice: &Notice) {
        self.tell(match notice {
            Notice::Subscribed(_) => StageEvent::ConsumerSubscribed,
            Notice::Cancelled(_, end) => StageEvent::ConsumerCancelled { end },
        });
    }

    pub(super) fn tell_subscribed(&self, subscription: &Subscription) {
        self.tell(StageEvent::Subscribed {
            producer: subscription.producer(),
            subscriptions: self.inputs.len(),
        });
    }

    pub(super) fn tell_cancelled(&self, subscription: &Subscription, end: &End) {
        self.tell(StageEvent::Cancelled {
            producer: subscription.producer(),
            end,
            subscriptions: self.inputs.len(),
        });
    }

    /// Counts and tells what became of emitted events since the last time: those that wait, and those for nobody.
    pub(super) fn note_output(&mut self) {
        let (dropped, buffered) = (self.output.take_dropped(), self.output.buffered());
        if dropped > 0 {
            self.counters.dropped(dropped);
            self.tell(StageEvent::Dropped { count: dropped });
        }
        if self.counters.buffered(buffered) {
            self.tell(StageEvent::Buffered { count: buffered });
        }
    }
}
