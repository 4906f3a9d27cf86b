//! [`Combiner`]: aggregates before the partition, so that only partial states cross it.

use std::{hash::Hash, marker::PhantomData};

use super::{
    frame::Frame, grid::Grid, key::LookupKey, panes::Panes, part::Part, recent::RecentPane,
};
use crate::{Aggregate, At, Timestamp, Windows, epoch::Epoch, window::WindowKind};

/// States by pane and key, for windows that fire only at their end. It knows no watermark: a state that is too late is refused where it is
/// merged.
pub(crate) struct Combiner<T, K, A: Aggregate<T>> {
    frame: Frame,
    aggregate: A,
    states_max: usize,
    n: usize,
    panes: Panes<K, Part<A::State>>,
    recent: RecentPane,
    events: PhantomData<fn(T)>,
}

impl<T, K: Hash + Eq, A: Aggregate<T>> Combiner<T, K, A> {
    /// Creates a combiner. The windows are global or time windows, and the aggregate merges.
    pub(crate) fn new(windows: &Windows<T>, aggregate: A, states_max: usize) -> Self {
        let frame = match windows.kind {
            WindowKind::Time {
                size,
                slide,
                offset,
            } => Frame::Time(Grid::new(size, slide, offset)),
            _ => Frame::Global,
        };
        Self {
            frame,
            aggregate,
            states_max,
            n: 0,
            panes: Panes::default(),
            recent: RecentPane::default(),
            events: PhantomData,
        }
    }

    /// Adds an event. Returns whether the combiner is full, and must be drained.
    pub(crate) fn add<L: LookupKey<K>>(&mut self, key: L, event: T, at: At) -> bool {
        let Self {
            frame,
            recent,
            aggregate,
            n,
            panes,
            ..
        } = self;
        let Some(pane) = recent.of(at.time, |time| frame.place(time)) else {
            return false;
        };
        let (_, part) = panes.table(pane).entry(key, || {
            *n += 1;
            Part::empty(aggregate)
        });
        part.add(aggregate, event, at.since);
        self.n >= self.states_max
    }

    /// Removes the states of the panes that end at or before `upto`, oldest first; all of them with `None`. The global window leaves only
    /// with `None`.
    pub(crate) fn drain(
        &mut self,
        upto: Option<Timestamp>,
        out: &mut impl FnMut(K, i64, A::State, Epoch),
    ) {
        while let Some(pane) = self.panes.first() {
            let complete = upto.is_none_or(|upto| self.frame.pane_ends(pane, upto));
            if !complete {
                return;
            }
            let n = &mut self.n;
            self.panes.take(pane, |key, part| {
                *n -= 1;
                out(key, pane, part.state, part.since);
            });
        }
    }

    /// Whether windows end when the watermark passes them.
    pub(crate) const fn has_times(&self) -> bool {
        matches!(self.frame, Frame::Time(_))
    }

    /// Returns the oldest epoch of all states.
    pub(crate) fn since(&self) -> Epoch {
        let all = self.panes.iter().map(|(_, _, part)| part.since);
        all.min().unwrap_or(Epoch::NONE)
    }

    /// Returns the number of states.
    #[cfg(test)]
    pub(crate) const fn len(&self) -> usize {
        self.n
    }
}
