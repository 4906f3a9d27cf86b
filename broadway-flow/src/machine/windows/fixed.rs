//! [`Fixed`]: windows that share no state: the global one, time windows that do not overlap, and periods.

use std::hash::Hash;

use super::{
    cell::Cell,
    fired::Fired,
    frame::Frame,
    key::{LookupKey, Owned},
    panes::Panes,
    recent::RecentPane,
    rules::Rules,
    saved::{Content, Filled},
};
use crate::{Aggregate, At, Firing, Timestamp, Windows, epoch::Epoch, window::EarlyFiring};

/// A table of keys for each window.
pub(super) struct Fixed<T, K, A: Aggregate<T>> {
    frame: Frame,
    lateness: i64,
    rules: Rules<T, A>,
    panes: Panes<K, Cell<T, A::State>>,
    recent: RecentPane,
    /// All windows below have ended.
    ended: i128,
    /// All windows below are closed.
    closed: i128,
    /// The key of results of windows without events.
    empty_key: Option<K>,
    /// `None` before the first event, and if windows without events have no result.
    filled: Option<Filled>,
}

impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> Fixed<T, K, A> {
    pub(super) fn new(
        frame: Frame,
        windows: &Windows<T>,
        aggregate: A,
        empty_key: Option<K>,
    ) -> Self {
        let (ended, closed) = frame.bounds(Timestamp::MIN, windows.lateness);
        Self {
            frame,
            lateness: windows.lateness,
            rules: Rules::new(windows, aggregate),
            panes: Panes::default(),
            recent: RecentPane::default(),
            ended,
            closed,
            empty_key: empty_key.filter(|_| windows.empty),
            filled: None,
        }
    }

    pub(super) fn add<L: LookupKey<K>>(
        &mut self,
        key: L,
        event: T,
        at: At,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), T> {
        let Self {
            frame,
            rules,
            recent,
            ..
        } = self;
        let Some(pane) = recent.of(at.time, |time| frame.place(time)) else {
            return Ok(());
        };
        if i128::from(pane) < self.closed {
            return Err(event);
        }
        let table = self.panes.table(pane);
        let (key, cell) = table.entry(key, || rules.cell());
        let window = || frame.window(pane);
        if i128::from(pane) < self.ended || cell.on_time {
            rules.add(cell, event, at.since);
            rules.fire_late(key, cell, window, emit);
        } else {
            rules.add_open(key, cell, window, (event, at.since), emit);
        }
        if self.empty_key.is_some() {
            self.fill_from(pane);
        }
        Ok(())
    }

    /// Adds the state of events that were aggregated elsewhere. The triggers do not see them.
    pub(super) fn merge(
        &mut self,
        key: K,
        pane: i64,
        (state, since): (A::State, Epoch),
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) -> Result<(), ()> {
        let Self { frame, rules, .. } = self;
        if i128::from(pane) < self.closed {
            return Err(());
        }
        let table = self.panes.table(pane);
        let (key, cell) = table.entry(Owned(key), || rules.cell());
        rules.aggregate.merge(&mut cell.state, state);
        cell.count(1, since);
        if i128::from(pane) < self.ended || cell.on_time {
            rules.fire_late(key, cell, || frame.window(pane), emit);
        }
        if self.empty_key.is_some() {
            self.fill_from(pane);
        }
        Ok(())
    }

    /// Fires the windows that have ended, and closes those whose lateness is over. Windows fire in the order of their ends: the closed ones
    /// end first.
    pub(super) fn watermark(
        &mut self,
        watermark: Timestamp,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let fired = self.ended;
        (self.ended, self.closed) = self.frame.bounds(watermark, self.lateness);
        while let Some(pane) = self.panes.first() {
            if i128::from(pane) >= self.closed {
                break;
            }
            self.fill_to(i128::from(pane), emit);
            self.close(pane, emit);
            self.skip(pane);
        }
        let mut from = fired.max(self.closed);
        while let Some(pane) = self.panes.first_from(from) {
            if i128::from(pane) >= self.ended {
                break;
            }
            self.fill_to(i128::from(pane), emit);
            let window = self.frame.window(pane);
            for (key, cell) in self.panes.table(pane).iter_mut() {
                self.rules.fire_on_time(key, cell, window, emit);
            }
            from = i128::from(pane) + 1;
        }
        self.fill_to(self.ended, emit);
    }

    pub(super) fn tick(&mut self, now: i64, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        if self.frame.end_period(now) {
            self.finish(emit);
        }
        if !matches!(self.rules.early, EarlyFiring::Periodic(_)) {
            return;
        }
        let mut from = self.ended;
        while let Some(pane) = self.panes.first_from(from) {
            let window = self.frame.window(pane);
            for (key, cell) in self.panes.table(pane).iter_mut() {
                self.rules.fire_period(key, cell, window, emit);
            }
            from = i128::from(pane) + 1;
        }
    }

    /// Fires and removes everything that is left. The watermark has ended all windows except the current period, and older ones that were
    /// loaded.
    pub(super) fn finish(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        while let Some(pane) = self.panes.first() {
            self.close(pane, emit);
        }
    }

    pub(super) fn since(&self) -> Epoch {
        let all = self.panes.iter().map(|(_, _, cell)| cell.since);
        all.min().unwrap_or(Epoch::NONE)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.panes.len()
    }

    pub(super) fn save(&self) -> Content<&K, &A::State> {
        let cells = self.panes.iter();
        let number = match self.frame {
            Frame::Periodic { current, .. } => current,
            Frame::Global | Frame::Time(_) => 0,
        };
        Content::Fixed {
            cells: cells
                .map(|(pane, key, cell)| (pane, key, cell.as_saved()))
                .collect(),
            number,
            filled: self.filled,
        }
    }

    /// Adds saved state. `watermark` is the new watermark of the machine.
    pub(super) fn load(
        &mut self,
        content: Content<K, A::State>,
        keep: impl Fn(&K) -> bool,
        watermark: Timestamp,
    ) -> Result<(), String> {
        let Content::Fixed {
            cells,
            number,
            filled,
        } = content
        else {
            return Err("the window state is not from windows of this kind".to_owned());
        };
        (self.ended, self.closed) = self.frame.bounds(watermark, self.lateness);
        if let Frame::Periodic { current, .. } = &mut self.frame {
            *current = number.max(*current);
        }
        if self.empty_key.is_some() {
            self.filled = merge_filled(self.filled, filled);
        }
        for (pane, key, saved) in cells.into_iter().filter(|(_, key, _)| keep(key)) {
            let table = self.panes.table(pane);
            let (_, cell) = table.entry(Owned(key), || self.rules.cell());
            self.rules.restore(cell, saved)?;
        }
        Ok(())
    }

    fn close(&mut self, pane: i64, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        let Self { frame, rules, .. } = self;
        let window = frame.window(pane);
        self.panes
            .take(pane, |key, cell| rules.close(key, cell, window, emit));
    }
}

/// Results of windows without events, between the first and the last one with events.
impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> Fixed<T, K, A> {
    /// Notes an event in `pane`.
    fn fill_from(&mut self, pane: i64) {
        let filled = self.filled.get_or_insert(Filled {
            next: i128::from(pane),
            last: pane,
            started: false,
        });
        filled.last = filled.last.max(pane);
        if !filled.started {
            filled.next = filled.next.min(i128::from(pane));
        }
    }

    /// Notes that `pane` has fired, and has left no trace.
    fn skip(&mut self, pane: i64) {
        if let Some(filled) = &mut self.filled {
            filled.next = filled.next.max(i128::from(pane) + 1);
            filled.started = true;
        }
    }

    /// Fires the windows without events below `end`.
    fn fill_to(&mut self, end: i128, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        let (Some(filled), Some(key)) = (&mut self.filled, &self.empty_key) else {
            return;
        };
        let end = end.min(i128::from(filled.last) + 1);
        while filled.next < end {
            let pane = i64::try_from(filled.next).expect("invariant: between two panes");
            filled.next += 1;
            filled.started = true;
            if self.panes.get(pane).is_some() {
                continue;
            }
            emit(Fired {
                key: key.clone(),
                window: self.frame.window(pane),
                firing: Firing::OnTime,
                value: self.rules.aggregate.finish(self.rules.aggregate.create()),
                since: Epoch::NONE,
            });
        }
    }
}

fn merge_filled(ours: Option<Filled>, saved: Option<Filled>) -> Option<Filled> {
    let (Some(ours), Some(saved)) = (ours, saved) else {
        return ours.or(saved);
    };
    Some(Filled {
        next: ours.next.max(saved.next),
        last: ours.last.max(saved.last),
        started: ours.started || saved.started,
    })
}
