//! [`Sliding`]: windows that overlap. An event is aggregated once, in its pane, however many windows it belongs to.

mod saved;

use std::{hash::Hash, marker::PhantomData, mem};

use super::{
    fired::Fired,
    grid::Grid,
    key::{Known, LookupKey, Owned},
    late::Late,
    panes::Panes,
    part::Part,
    queue::Queue,
    recent::RecentPane,
    table::Table,
};
use crate::{AfterFiring, Aggregate, At, Firing, LateFiring, Timestamp, Windows, epoch::Epoch};

/// Panes that events go into, and a queue of sealed panes for each key.
///
/// When a window ends, its panes are sealed: their states move to the queues. An event for a sealed pane joins the queue for the windows to
/// come. With a lateness, the windows that have fired need their panes, too: then the panes stay, and the queues get copies.
pub(super) struct Sliding<T, K, A: Aggregate<T>> {
    grid: Grid,
    lateness: i64,
    late_firing: LateFiring,
    after: AfterFiring,
    /// Whether panes stay after they are sealed.
    keeps_panes: bool,
    aggregate: A,
    panes: Panes<K, Part<A::State>>,
    recent: RecentPane,
    queues: Table<K, Queue<A::State>>,
    late: Late<K, A::State>,
    /// All windows below have ended.
    ended: i128,
    /// All windows below are closed.
    closed: i128,
    /// The largest `fired_below` of all loaded queues.
    loaded: i128,
    /// All panes below may be sealed for some key.
    sealed: i128,
    events: PhantomData<fn(T)>,
}

impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> Sliding<T, K, A> {
    pub(super) fn new(grid: Grid, windows: &Windows<T>, aggregate: A) -> Self {
        let ended = grid.ended_below(Timestamp::MIN, 0);
        Self {
            grid,
            lateness: windows.lateness,
            late_firing: windows.late,
            after: windows.after,
            keeps_panes: Self::keeps_panes(windows),
            aggregate,
            panes: Panes::default(),
            recent: RecentPane::default(),
            queues: Table::default(),
            late: Late::default(),
            ended,
            closed: grid.ended_below(Timestamp::MIN, windows.lateness),
            loaded: ended,
            sealed: grid.sealed_below(ended),
            events: PhantomData,
        }
    }

    /// Whether panes stay after they are sealed: late results are made of all events of a window.
    pub(super) fn keeps_panes(windows: &Windows<T>) -> bool {
        windows.lateness > 0 && windows.after == AfterFiring::Accumulate
    }

    pub(super) fn add<L: LookupKey<K>>(
        &mut self,
        key: L,
        event: T,
        at: At,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), T> {
        let Self {
            aggregate,
            grid,
            recent,
            ..
        } = self;
        let Some(pane) = recent.of(at.time, |time| grid.place(time)) else {
            return Ok(());
        };
        if i128::from(pane) >= self.sealed {
            let table = self.panes.table(pane);
            let (_, part) = table.entry(key, || Part::empty(aggregate));
            part.add(aggregate, event, at.since);
            return Ok(());
        }
        if self.grid.windows_of(pane).1 < self.closed {
            return Err(event);
        }
        let mut part = Part::empty(aggregate);
        part.add(aggregate, event, at.since);
        self.add_sealed(&key.into_key(), pane, part, emit);
        Ok(())
    }

    /// Adds the state of events that were aggregated elsewhere.
    pub(super) fn merge(
        &mut self,
        key: K,
        pane: i64,
        (state, since): (A::State, Epoch),
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), ()> {
        let part = Part { state, since };
        if i128::from(pane) >= self.sealed {
            self.add_pane(Owned(key), pane, part);
            return Ok(());
        }
        if self.grid.windows_of(pane).1 < self.closed {
            return Err(());
        }
        self.add_sealed(&key, pane, part, emit);
        Ok(())
    }

    /// Fires the windows that have ended, and closes those whose lateness is over. Those that only close ended earlier, and come first.
    pub(super) fn watermark(
        &mut self,
        watermark: Timestamp,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let ended = self.grid.ended_below(watermark, 0);
        self.closed = self.grid.ended_below(watermark, self.lateness);
        self.close_late(emit);
        while let Some(window) = self.next_window() {
            if window >= ended {
                break;
            }
            self.seal(window);
            self.fire(window, emit);
            self.ended = window + 1;
        }
        self.move_to(ended);
        while let Some(pane) = self.panes.first() {
            if self.grid.windows_of(pane).1 >= self.closed {
                break;
            }
            self.panes.take(pane, |_, _| ());
        }
    }

    pub(super) fn since(&self) -> Epoch {
        let panes = self.panes.iter().map(|(_, _, part)| part.since);
        let queues = self.queues.iter().map(|(_, queue)| queue.panes.since());
        let all = panes.chain(queues).chain([self.late.since()]);
        all.min().unwrap_or(Epoch::NONE)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let queues = self.queues.iter().map(|(_, queue)| queue.panes.len());
        self.panes.len() + queues.sum::<usize>() + self.late.len()
    }

    fn add_pane<L: LookupKey<K>>(&mut self, key: L, pane: i64, part: Part<A::State>) {
        let Self { aggregate, .. } = self;
        let merge = |state: &mut A::State, other| aggregate.merge(state, other);
        let table = self.panes.table(pane);
        let (_, all) = table.entry(key, || Part::empty(aggregate));
        all.merge(part, &merge);
    }

    /// Adds to a pane of windows that have ended, at least one of which is not closed or belongs to windows to come.
    fn add_sealed(
        &mut self,
        key: &K,
        pane: i64,
        part: Part<A::State>,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let aggregate = self.aggregate.clone();
        let merge = |state: &mut A::State, other| aggregate.merge(state, other);
        let loaded = self.queues.get(key).map(|queue| queue.fired_below);
        let fired = loaded.map_or(self.ended, |loaded| loaded.max(self.ended));
        if i128::from(pane) >= self.grid.sealed_below(fired) {
            self.add_pane(Known(key), pane, part);
            return;
        }
        let (first, last) = self.grid.windows_of(pane);
        if last >= fired {
            let (_, queue) = self.queues.entry(Known(key), || Queue::new(fired));
            queue.panes.insert(pane, part.clone(), &merge);
        }
        if self.keeps_panes {
            self.add_pane(Known(key), pane, part.clone());
        }
        for window in first.max(self.closed)..(last + 1).min(fired) {
            let part = (self.after == AfterFiring::Discard).then(|| part.clone());
            match self.late_firing {
                LateFiring::EachEvent => self.fire_late(key.clone(), window, part, emit),
                LateFiring::AtClose => self.late.add(window, key, part, &merge),
            }
        }
    }

    fn close_late(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        while let Some((window, keys)) = self.late.take_first(self.closed) {
            for (key, part) in keys.into_entries() {
                self.fire_late(key, window, part, emit);
            }
        }
    }

    /// Fires a window that has ended: with `part`, or with all its events.
    fn fire_late(
        &self,
        key: K,
        window: i128,
        part: Option<Part<A::State>>,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        if let Some(part) = part.or_else(|| self.all_events(&key, window)) {
            emit(Fired {
                key,
                window: self.grid.window(window),
                firing: Firing::Late,
                value: self.aggregate.finish(part.state),
                since: part.since,
            });
        }
    }

    /// Merges the panes of a window.
    fn all_events(&self, key: &K, window: i128) -> Option<Part<A::State>> {
        let merge = |state: &mut A::State, other| self.aggregate.merge(state, other);
        let (mut from, end) = self.grid.panes_of(window);
        let mut all: Option<Part<A::State>> = None;
        while let Some(pane) = self.panes.first_from(from) {
            if i128::from(pane) >= end {
                break;
            }
            from = i128::from(pane) + 1;
            let part = self.panes.get(pane).and_then(|table| table.get(key));
            match (&mut all, part) {
                (Some(all), Some(part)) => all.merge(part.clone(), &merge),
                (None, part) => all = part.cloned(),
                (Some(_), None) => {}
            }
        }
        all
    }

    /// Returns the next window that may have events.
    fn next_window(&self) -> Option<i128> {
        let queued = if self.queues.is_empty() {
            None
        } else if self.loaded <= self.ended {
            // The queues hold only panes of the next window: older ones leave when it fires.
            Some(self.ended)
        } else {
            let queues = self.queues.iter().filter_map(|(_, queue)| {
                let oldest = queue.panes.first()?;
                Some(self.grid.windows_of(oldest).0.max(queue.fired_below))
            });
            queues.min()
        };
        let pane = self.panes.first_from(self.grid.sealed_below(self.ended));
        let open = pane.map(|pane| self.grid.windows_of(pane).0);
        let next = queued.into_iter().chain(open).min()?;
        Some(next.max(self.ended))
    }

    /// Moves the panes of a window to the queues of their keys.
    fn seal(&mut self, window: i128) {
        let Self {
            aggregate,
            grid,
            queues,
            ..
        } = self;
        let merge = |state: &mut A::State, other| aggregate.merge(state, other);
        let ended = self.ended;
        let mut push = |key: &K, pane: i64, part: Part<A::State>| {
            let (_, queue) = queues.entry(Known(key), || Queue::new(ended));
            // The queue of a loaded key has these panes already.
            if i128::from(pane) >= grid.sealed_below(queue.fired_below) {
                queue.panes.insert(pane, part, &merge);
            }
        };
        let (_, end) = grid.panes_of(window);
        let mut from = grid.sealed_below(ended);
        while let Some(pane) = self.panes.first_from(from) {
            if i128::from(pane) >= end {
                break;
            }
            from = i128::from(pane) + 1;
            if self.keeps_panes {
                for (key, part) in self.panes.table(pane).iter() {
                    push(key, pane, part.clone());
                }
            } else {
                self.panes.take(pane, |key, part| push(&key, pane, part));
            }
        }
    }

    /// Fires a window for each key with panes, and removes the panes that the next window does not need.
    fn fire(&mut self, window: i128, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        let Self {
            aggregate, grid, ..
        } = self;
        let merge = |state: &mut A::State, other| aggregate.merge(state, other);
        let (next, _) = grid.panes_of(window + 1);
        let fired = grid.window(window);
        self.queues.retain(|key, queue| {
            if window < queue.fired_below {
                return true;
            }
            let total = if queue.panes.are_below(next) {
                mem::take(&mut queue.panes).into_total(&merge)
            } else {
                queue.panes.total(&merge)
            };
            if let Some(part) = total {
                emit(Fired {
                    key: key.clone(),
                    window: fired,
                    firing: Firing::OnTime,
                    value: aggregate.finish(part.state),
                    since: part.since,
                });
            }
            queue.panes.remove_below(next, &merge);
            !queue.panes.is_empty()
        });
    }

    /// Sets the first window that has not ended. Queues that only remember earlier firings of a load go when the machine is as far.
    fn move_to(&mut self, ended: i128) {
        let was_loaded = self.loaded > self.grid.ended_below(Timestamp::MIN, 0);
        self.ended = ended;
        self.sealed = self.grid.sealed_below(self.ended.max(self.loaded));
        if was_loaded && self.loaded <= ended {
            self.loaded = self.grid.ended_below(Timestamp::MIN, 0);
            self.queues.retain(|_, queue| !queue.panes.is_empty());
        }
    }
}
