//! [`CombineSink`]: aggregates before the partition.

use std::{hash::Hash, sync::Arc};

use super::route::Keyed;
use crate::{
    Aggregate, At, Timestamp,
    epoch::Epoch,
    machine::windows::{Combiner, LookupKey, Owned},
    sink::{Meter, OperatorInfo, Pushed, Signal, Sink},
};

/// What crosses a partition behind a combiner.
pub(crate) enum Crossing<K, T, S> {
    /// An event that is behind the watermark: it may be late, so it is not hidden in a state. Also an event whose key seldom repeats.
    Event(K, T),
    /// The state of a key in a pane.
    Part(K, i64, S),
}

impl<K, T, S> Keyed<K> for Crossing<K, T, S> {
    fn key(&self) -> &K {
        match self {
            Self::Event(key, _) | Self::Part(key, ..) => key,
        }
    }
}

/// The most states that a worker holds before the partition. Then all of them are sent.
pub(crate) const STATES_MAX: usize = 262_144;

/// How many states must be sent before the sink decides whether combining pays.
const DECIDES_AFTER: u64 = 16_384;

/// The least events of a state for which combining pays, on average.
const EVENTS_PER_STATE_MIN: u64 = 2;

/// For how many events combining stops, for each one that it did not pay for.
const UNCOMBINED: u64 = 8;

/// Aggregates before the partition.
pub(crate) struct CombineSink<K, T, A: Aggregate<T>, S> {
    combiner: Combiner<T, K, A>,
    watermark: Timestamp,
    /// Whether states may wait for the end of their window: it ends, and nothing looks at it before.
    may_wait: bool,
    /// The events that were combined since the last decision, and the states that were sent.
    combined: u64,
    sent: u64,
    /// The next events cross the partition as they are: the keys before them seldom repeated.
    uncombined: u64,
    meter: Meter,
    next: S,
}

impl<K, T, A, S> CombineSink<K, T, A, S>
where
    K: Hash + Eq + Send + 'static,
    T: Send + 'static,
    A: Aggregate<T>,
    S: Sink<Crossing<K, T, A::State>>,
{
    pub(crate) fn new(
        combiner: Combiner<T, K, A>,
        may_wait: bool,
        info: Arc<OperatorInfo>,
        next: S,
    ) -> Self {
        Self {
            combiner,
            watermark: Timestamp::MIN,
            may_wait,
            combined: 0,
            sent: 0,
            uncombined: 0,
            meter: Meter::new(info),
            next,
        }
    }

    /// Adds an event with a key that may be borrowed.
    #[inline]
    pub(crate) fn add<L: LookupKey<K>>(&mut self, key: L, event: T, at: At) -> Pushed {
        if at.time < self.watermark || self.uncombined > 0 {
            self.uncombined = self.uncombined.saturating_sub(1);
            self.meter.count();
            let event = Crossing::Event(key.into_key(), event);
            return self.next.push(event, at);
        }
        self.combined += 1;
        let combiner = &mut self.combiner;
        let is_full = self.meter.call(|| combiner.add(key, event, at));
        match is_full {
            true => self.drain(None),
            false => Ok(()),
        }
    }

    /// Sends the states of the panes that end by `upto`, or all.
    fn drain(&mut self, upto: Option<Timestamp>) -> Pushed {
        let Self {
            combiner,
            next,
            sent,
            ..
        } = self;
        let mut pushed = Ok(());
        combiner.drain(upto, &mut |key, pane, state, since: Epoch| {
            *sent += 1;
            if pushed.is_ok() {
                let time = Timestamp::MIN;
                pushed = next.push(Crossing::Part(key, pane, state), At { time, since });
            }
        });
        if *sent >= DECIDES_AFTER {
            self.decide();
        }
        pushed
    }

    /// Stops to combine for a while if the states that were sent had few events.
    fn decide(&mut self) {
        if self.combined < EVENTS_PER_STATE_MIN * self.sent {
            self.uncombined = UNCOMBINED * self.combined;
        }
        (self.combined, self.sent) = (0, 0);
    }
}

impl<K, T, A, S> Sink<(K, T)> for CombineSink<K, T, A, S>
where
    K: Hash + Eq + Send + 'static,
    T: Send + 'static,
    A: Aggregate<T>,
    S: Sink<Crossing<K, T, A::State>>,
{
    #[inline]
    fn push(&mut self, (key, event): (K, T), at: At) -> Pushed {
        self.add(Owned(key), event, at)
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        self.meter.signal(signal);
        match signal {
            Signal::Watermark(to) => {
                self.watermark = self.watermark.max(*to);
                self.drain(Some(*to))?;
            }
            Signal::Flush if !self.may_wait => self.drain(None)?,
            Signal::Idle | Signal::Finish | Signal::Settle => self.drain(None)?,
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.combiner.since()),
            _ => {}
        }
        self.next.signal(signal)
    }
}
