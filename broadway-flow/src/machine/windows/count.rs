//! [`Count`]: windows of a number of events of a key.

use std::hash::Hash;

use super::{
    cell::Cell,
    fired::Fired,
    key::{LookupKey, Owned},
    rules::Rules,
    saved::Content,
    table::Table,
};
use crate::{Aggregate, At, Decision, Firing, Window, Windows, epoch::Epoch, window::EarlyFiring};

/// The current window of each key.
pub(super) struct Count<T, K, A: Aggregate<T>> {
    size: u64,
    rules: Rules<T, A>,
    keys: Table<K, Numbered<T, A::State>>,
}

/// The windows of a key. The number stays when a window is complete.
struct Numbered<T, S> {
    number: u64,
    cell: Option<Cell<T, S>>,
}

impl<T, K: Hash + Eq + Clone, A: Aggregate<T>> Count<T, K, A> {
    pub(super) fn new(size: u64, windows: &Windows<T>, aggregate: A) -> Self {
        Self {
            size,
            rules: Rules::new(windows, aggregate),
            keys: Table::default(),
        }
    }

    /// Adds an event. The last one of a window fires it once: at its end, and not by its trigger, too.
    pub(super) fn add<L: LookupKey<K>>(
        &mut self,
        key: L,
        event: T,
        at: At,
        emit: &mut impl FnMut(Fired<K, A::Output>),
    ) {
        let Self { rules, .. } = self;
        let (key, numbered) = self.keys.entry(key, Numbered::default);
        let cell = numbered.cell.get_or_insert_with(|| rules.cell());
        let window = Window::Number(numbered.number);
        if cell.events.saturating_add(1) < self.size {
            rules.add_open(key, cell, || window, (event, at.since), emit);
            return;
        }
        let before = rules.decide(cell, &event) == Decision::FireBefore;
        if before && rules.has_result(cell) {
            rules.fire(key, cell, window, Firing::Early, emit);
        }
        rules.add(cell, event, at.since);
        if let Some(cell) = numbered.cell.take() {
            rules.close(key.clone(), cell, window, emit);
        }
        numbered.number += 1;
    }

    pub(super) fn tick(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        if !matches!(self.rules.early, EarlyFiring::Periodic(_)) {
            return;
        }
        for (key, numbered) in self.keys.iter_mut() {
            if let Some(cell) = &mut numbered.cell {
                let window = Window::Number(numbered.number);
                self.rules.fire_period(key, cell, window, emit);
            }
        }
    }

    pub(super) fn finish(&mut self, emit: &mut impl FnMut(Fired<K, A::Output>)) {
        for (key, numbered) in self.keys.drain() {
            if let Some(cell) = numbered.cell {
                let window = Window::Number(numbered.number);
                self.rules.close(key, cell, window, emit);
            }
        }
    }

    pub(super) fn since(&self) -> Epoch {
        let all = self.cells().map(|cell| cell.since);
        all.min().unwrap_or(Epoch::NONE)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.cells().count()
    }

    pub(super) fn save(&self) -> Content<&K, &A::State> {
        let keys = self.keys.iter();
        let saved = keys.map(|(key, numbered)| {
            let cell = numbered.cell.as_ref().map(Cell::as_saved);
            (key, numbered.number, cell)
        });
        Content::Count(saved.collect())
    }

    pub(super) fn load(
        &mut self,
        content: Content<K, A::State>,
        keep: impl Fn(&K) -> bool,
    ) -> Result<(), String> {
        let Content::Count(keys) = content else {
            return Err("the window state is not from windows of this kind".to_owned());
        };
        for (key, number, saved) in keys.into_iter().filter(|(key, ..)| keep(key)) {
            let (_, numbered) = self.keys.entry(Owned(key), Numbered::default);
            numbered.number = numbered.number.max(number);
            if let Some(saved) = saved {
                let cell = numbered.cell.get_or_insert_with(|| self.rules.cell());
                self.rules.restore(cell, saved)?;
            }
        }
        Ok(())
    }

    fn cells(&self) -> impl Iterator<Item = &Cell<T, A::State>> {
        let keys = self.keys.iter();
        keys.filter_map(|(_, numbered)| numbered.cell.as_ref())
    }
}

impl<T, S> Default for Numbered<T, S> {
    fn default() -> Self {
        Self {
            number: 0,
            cell: None,
        }
    }
}
