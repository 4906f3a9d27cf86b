//! [`WindowState`]: the machine of one worker, for all kinds of windows.

use std::hash::Hash;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    count::Count,
    fired::Fired,
    fixed::Fixed,
    frame::Frame,
    grid::Grid,
    key::LookupKey,
    saved::{Content, Saved, Shape},
    session::Sessions,
    sliding::Sliding,
};
use crate::{
    Aggregate, At, Timestamp, Windows,
    epoch::Epoch,
    window::{EarlyFiring, WindowKind},
};

/// The windows of the keys of one worker.
///
/// Results go to `emit`, in the order of the ends of their windows; the keys of a window come in any order.
pub struct WindowState<T, K, A: Aggregate<T>> {
    machine: Machine<T, K, A>,
    watermark: Timestamp,
    /// How long windows accept events after their end; 0 if they do not end by the watermark.
    lateness: i64,
    shape: Shape,
    /// Whether [`load`](Self::load) has set the watermark.
    loaded: bool,
    next_tick: Option<i64>,
}

enum Machine<T, K, A: Aggregate<T>> {
    Fixed(Fixed<T, K, A>),
    Sliding(Sliding<T, K, A>),
    Session(Sessions<T, K, A>),
    Count(Count<T, K, A>),
}

impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> WindowState<T, K, A> {
    /// Creates a machine without state. `empty_key` is the key of the results of windows without events.
    ///
    /// The windows have no [problems](Windows::problems), and [`check`](super::check()) accepts them for this aggregate.
    pub(crate) fn new(windows: &Windows<T>, aggregate: A, empty_key: Option<K>) -> Self {
        debug_assert!(windows.problems().is_empty());
        debug_assert!(super::check(windows, A::MERGES).is_none());
        let mut keeps_panes = false;
        let fixed =
            |frame, aggregate, key| Machine::Fixed(Fixed::new(frame, windows, aggregate, key));
        let machine = match windows.kind {
            WindowKind::Global => fixed(Frame::Global, aggregate, empty_key),
            WindowKind::Periodic { every } => {
                let (current, start) = (0, None);
                let frame = Frame::Periodic {
                    every,
                    current,
                    start,
                };
                fixed(frame, aggregate, empty_key)
            }
            WindowKind::Time {
                size,
                slide,
                offset,
            } => {
                let grid = Grid::new(size, slide, offset);
                if slide < size {
                    keeps_panes = Sliding::<T, K, A>::keeps_panes(windows);
                    Machine::Sliding(Sliding::new(grid, windows, aggregate))
                } else {
                    fixed(Frame::Time(grid), aggregate, empty_key)
                }
            }
            WindowKind::Session { gap } => Machine::Session(Sessions::new(gap, windows, aggregate)),
            WindowKind::Count(n) => Machine::Count(Count::new(n, windows, aggregate)),
        };
        Self {
            machine,
            watermark: Timestamp::MIN,
            lateness: if windows.needs_time() {
                windows.lateness
            } else {
                0
            },
            shape: Shape::new(windows.kind, keeps_panes),
            loaded: false,
            next_tick: next_tick(windows),
        }
    }

    /// Adds an event. Returns it if all its windows are closed. An event between two windows is ignored.
    pub(crate) fn add<L: LookupKey<K>>(
        &mut self,
        key: L,
        event: T,
        at: At,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), T> {
        match &mut self.machine {
            Machine::Fixed(fixed) => fixed.add(key, event, at, emit),
            Machine::Sliding(sliding) => sliding.add(key, event, at, emit),
            Machine::Session(sessions) => sessions.add(key, event, at, emit),
            Machine::Count(count) => {
                count.add(key, event, at, emit);
                Ok(())
            }
        }
    }

    /// Adds a part that another worker has aggregated, for global and time windows. A part that is late but within the lateness fires like
    /// an event. Fails if all windows of the pane are closed.
    pub(crate) fn merge(
        &mut self,
        key: K,
        pane: i64,
        state: A::State,
        since: Epoch,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), ()> {
        match &mut self.machine {
            Machine::Fixed(fixed) => fixed.merge(key, pane, (state, since), emit),
            Machine::Sliding(sliding) => sliding.merge(key, pane, (state, since), emit),
            Machine::Session(_) | Machine::Count(_) => {
                unreachable!("sessions and count windows have no panes")
            }
        }
    }

    /// Moves the watermark. It never goes back.
    pub(crate) fn watermark(&mut self, to: Timestamp, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        if to <= self.watermark {
            return;
        }
        self.watermark = to;
        match &mut self.machine {
            Machine::Fixed(fixed) => fixed.watermark(to, emit),
            Machine::Sliding(sliding) => sliding.watermark(to, emit),
            Machine::Session(sessions) => sessions.watermark(to, emit),
            Machine::Count(_) => {}
        }
    }

    /// Notes processing time, in milliseconds. The first call starts the first period.
    pub(crate) fn tick(&mut self, now: i64, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        match &mut self.machine {
            Machine::Fixed(fixed) => fixed.tick(now, emit),
            Machine::Session(sessions) => sessions.tick(emit),
            Machine::Count(count) => count.tick(emit),
            Machine::Sliding(_) => {}
        }
    }

    /// Returns the last watermark.
    pub(crate) const fn last_watermark(&self) -> Timestamp {
        self.watermark
    }

    /// Returns the watermark of the results: none that follows is older. A window has results until its lateness is over.
    pub(crate) const fn watermark_behind(&self, watermark: Timestamp) -> Timestamp {
        watermark.plus(self.lateness.saturating_neg())
    }

    /// Whether two states of a key can be loaded into one.
    pub(crate) const fn merges(&self) -> bool {
        // Two incomplete windows may have more events than one holds.
        A::MERGES && !matches!(self.machine, Machine::Count(_))
    }

    /// Returns how often [`tick`](Self::tick) is to be called, in milliseconds; `None` if never.
    pub(crate) const fn next_tick(&self) -> Option<i64> {
        self.next_tick
    }

    /// Ends the input: all windows fire, and nothing is left.
    pub(crate) fn finish(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        self.watermark(Timestamp::MAX, emit);
        match &mut self.machine {
            Machine::Fixed(fixed) => fixed.finish(emit),
            Machine::Count(count) => count.finish(emit),
            Machine::Sliding(_) | Machine::Session(_) => {}
        }
    }

    /// Returns the oldest epoch of all state. It looks at all of it.
    pub(crate) fn since(&self) -> Epoch {
        match &self.machine {
            Machine::Fixed(fixed) => fixed.since(),
            Machine::Sliding(sliding) => sliding.since(),
            Machine::Session(sessions) => sessions.since(),
            Machine::Count(count) => count.since(),
        }
    }

    /// Returns the number of states: of keys in windows, or in panes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        match &self.machine {
            Machine::Fixed(fixed) => fixed.len(),
            Machine::Sliding(sliding) => sliding.len(),
            Machine::Session(sessions) => sessions.len(),
            Machine::Count(count) => count.len(),
        }
    }

    /// Saves all state except the state of custom triggers and the start of the current period.
    pub(crate) fn save(&self) -> Vec<u8>
    where
        K: Serialize,
        A::State: Serialize,
    {
        let content: Content<&K, &A::State> = match &self.machine {
            Machine::Fixed(fixed) => fixed.save(),
            Machine::Sliding(sliding) => sliding.save(),
            Machine::Session(sessions) => sessions.save(),
            Machine::Count(count) => count.save(),
        };
        let saved = Saved {
            shape: self.shape,
            watermark: self.watermark,
            content,
        };
        saved.encode()
    }

    /// Adds saved state of the keys that `keep` accepts, before the first event. May be called several times: the watermark is the oldest
    /// one. After an error, part of the state is there.
    pub(crate) fn load(&mut self, bytes: &[u8], keep: impl Fn(&K) -> bool) -> Result<(), String>
    where
        K: DeserializeOwned,
        A::State: DeserializeOwned,
    {
        let saved = Saved::<K, A::State>::decode(bytes, self.shape)?;
        self.watermark = if self.loaded {
            self.watermark.min(saved.watermark)
        } else {
            saved.watermark
        };
        self.loaded = true;
        let to = self.watermark;
        match &mut self.machine {
            Machine::Fixed(fixed) => fixed.load(saved.content, keep, to),
            Machine::Sliding(sliding) => sliding.load(saved.content, keep, saved.watermark, to),
            Machine::Session(sessions) => sessions.load(saved.content, keep, to),
            Machine::Count(count) => count.load(saved.content, keep),
        }
    }
}

/// The shortest of the periods of windows and trigger.
fn next_tick<T>(windows: &Windows<T>) -> Option<i64> {
    let period = match windows.kind {
        WindowKind::Periodic { every } => Some(every),
        _ => None,
    };
    let trigger = match windows.early {
        EarlyFiring::Periodic(period) => Some(period),
        _ => None,
    };
    period.into_iter().chain(trigger).min()
}
