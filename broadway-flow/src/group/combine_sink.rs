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
    /// An event that may be late: it is behind the watermark, or the watermark is not known yet. So it is not hidden in a state.
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

/// Aggregates before the partition.
pub(crate) struct CombineSink<K, T, A: Aggregate<T>, S> {
    combiner: Combiner<T, K, A>,
    watermark: Timestamp,
    /// Whether the flow goes on from a snapshot, and no watermark has come yet: any event may be late for the restored windows.
    is_unsure: bool,
    /// Whether states may wait for the end of their window: it ends, and nothing looks at it before.
    may_wait: bool,
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
            is_unsure: false,
            may_wait,
            meter: Meter::new(info),
            next,
        }
    }

    /// Adds an event with a key that may be borrowed.
    #[inline]
    pub(crate) fn add<L: LookupKey<K>>(&mut self, key: L, event: T, at: At) -> Pushed {
        if at.time < self.watermark || self.is_unsure {
            self.meter.count();
            let event = Crossing::Event(key.into_key(), event);
            return self.next.push(event, at);
        }
        let combiner = &mut self.combiner;
        let is_full = self.meter.call(|| combiner.add(key, event, at));
        match is_full {
            true => self.drain(None),
            false => Ok(()),
        }
    }

    /// Sends the states of the panes that end by `upto`, or all.
    fn drain(&mut self, upto: Option<Timestamp>) -> Pushed {
        let Self { combiner, next, .. } = self;
        let mut pushed = Ok(());
        combiner.drain(upto, &mut |key, pane, state, since: Epoch| {
            if pushed.is_ok() {
                let time = Timestamp::MIN;
                pushed = next.push(Crossing::Part(key, pane, state), At { time, since });
            }
        });
        pushed
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
                self.is_unsure = false;
                self.drain(Some(*to))?;
            }
            Signal::Flush if !self.may_wait => self.drain(None)?,
            Signal::Idle | Signal::Finish | Signal::Settle => self.drain(None)?,
            Signal::Load(load) => {
                self.is_unsure = self.combiner.has_times() && !load.is_empty();
            }
            Signal::Holds(oldest) => **oldest = (**oldest).min(self.combiner.since()),
            _ => {}
        }
        self.next.signal(signal)
    }
}
