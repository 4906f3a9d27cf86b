//! [`InletTable`]: a dispatcher's state per inlet, indexed by the inlet's small number.

use super::InletId;

/// State per joined inlet. Memory follows the highest number ever joined.
#[derive(Debug)]
pub(in crate::machine) struct InletTable<S> {
    table: Vec<Option<S>>,
}

impl<S> InletTable<S> {
    pub(in crate::machine) fn new() -> Self {
        Self { table: Vec::new() }
    }

    pub(in crate::machine) fn insert(&mut self, inlet: InletId, state: S) {
        let index = inlet.0 as usize;
        if index >= self.table.len() {
            self.table.resize_with(index + 1, || None);
        }
        self.table[index] = Some(state);
    }

    pub(in crate::machine) fn remove(&mut self, inlet: InletId) -> Option<S> {
        self.table.get_mut(inlet.0 as usize)?.take()
    }

    pub(in crate::machine) fn get(&self, inlet: InletId) -> Option<&S> {
        self.table.get(inlet.0 as usize)?.as_ref()
    }

    /// # Panics
    ///
    /// Panics if the inlet has not joined.
    pub(in crate::machine) fn of(&mut self, inlet: InletId) -> &mut S {
        self.table
            .get_mut(inlet.0 as usize)
            .and_then(Option::as_mut)
            .expect("an inlet joins before it does anything else")
    }
}
