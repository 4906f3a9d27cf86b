//! [`Panes`]: a table for each pane, so that a window fires without a look at the others.

use std::{collections::BTreeMap, hash::Hash};

use super::table::Table;

/// How many empty tables are kept for new panes.
const SPARE: usize = 4;

/// The values of keys by pane. The pane used last is found without a search.
pub(super) struct Panes<K, V> {
    /// The position of each pane's table. No table in here is empty.
    order: BTreeMap<i64, usize>,
    tables: Vec<Table<K, V>>,
    free: Vec<usize>,
    recent: Option<(i64, usize)>,
}

impl<K: Hash + Eq, V> Panes<K, V> {
    /// Returns the table of a pane. A new one is empty, and the caller must add to it.
    pub(super) fn table(&mut self, pane: i64) -> &mut Table<K, V> {
        let position = match self.recent {
            Some((recent, position)) if recent == pane => position,
            _ => self.find(pane),
        };
        &mut self.tables[position]
    }

    pub(super) fn get(&self, pane: i64) -> Option<&Table<K, V>> {
        let position = self.order.get(&pane)?;
        Some(&self.tables[*position])
    }

    /// Returns the first pane at or after `from`.
    pub(super) fn first_from(&self, from: i128) -> Option<i64> {
        let from = match i64::try_from(from) {
            Ok(from) => from,
            Err(_) if from < 0 => i64::MIN,
            Err(_) => return None,
        };
        self.order.range(from..).next().map(|(pane, _)| *pane)
    }

    pub(super) fn first(&self) -> Option<i64> {
        self.order.first_key_value().map(|(pane, _)| *pane)
    }

    /// Removes a pane, and calls `each` with its entries.
    pub(super) fn take(&mut self, pane: i64, mut each: impl FnMut(K, V)) {
        let Some(position) = self.order.remove(&pane) else {
            return;
        };
        self.recent = None;
        let table = &mut self.tables[position];
        let reuse = self.free.len() < SPARE && !table.is_sparse();
        table.drain().for_each(|(key, value)| each(key, value));
        if !reuse {
            *table = Table::default();
        }
        self.free.push(position);
    }

    /// Iterates over all entries, pane by pane.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &K, &V)> {
        self.order.iter().flat_map(|(&pane, &position)| {
            let entries = self.tables[position].iter();
            entries.map(move |(key, value)| (pane, key, value))
        })
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let positions = self.order.values();
        positions.map(|&position| self.tables[position].len()).sum()
    }

    fn find(&mut self, pane: i64) -> usize {
        let Self {
            tables,
            free,
            order,
            ..
        } = self;
        let position = *order.entry(pane).or_insert_with(|| {
            free.pop().unwrap_or_else(|| {
                tables.push(Table::default());
                tables.len() - 1
            })
        });
        self.recent = Some((pane, position));
        position
    }
}

impl<K, V> Default for Panes<K, V> {
    fn default() -> Self {
        Self {
            order: BTreeMap::new(),
            tables: Vec::new(),
            free: Vec::new(),
            recent: None,
        }
    }
}
