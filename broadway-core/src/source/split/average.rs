//! [`PartsPerItem`]: how many items to ask for.

use std::num::NonZeroUsize;

/// After this many items, older ones count for less.
const ITEMS_MAX: u64 = 1_024;

/// The average number of parts of an item so far. The producer asks for as many items as should have the parts that are demanded: items
/// that wait to be split are unsettled at their source for longer than they must be.
#[derive(Debug, Default)]
pub(super) struct PartsPerItem {
    items: u64,
    parts: u64,
}

impl PartsPerItem {
    pub(super) fn count_item(&mut self) {
        if self.items == ITEMS_MAX {
            self.items /= 2;
            self.parts /= 2;
        }
        self.items += 1;
    }

    pub(super) fn count_part(&mut self) {
        self.parts = self.parts.saturating_add(1);
    }

    /// Returns how many items should have `parts` parts: at least one, and just that one as long as no item was split.
    pub(super) fn items_for(&self, parts: NonZeroUsize) -> NonZeroUsize {
        if self.items == 0 {
            return NonZeroUsize::MIN;
        }
        let average = self.parts.div_ceil(self.items).max(1);
        let items = parts.get() / usize::try_from(average).unwrap_or(usize::MAX);
        NonZeroUsize::new(items).unwrap_or(NonZeroUsize::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demand_is_divided_by_the_average() {
        let demand = NonZeroUsize::new(100).unwrap();
        let mut average = PartsPerItem::default();
        assert_eq!(average.items_for(demand).get(), 1);
        for _ in 0..5_000 {
            average.count_item();
            (0..8).for_each(|_| average.count_part());
        }
        assert_eq!(average.items_for(demand).get(), 12);
        assert_eq!(average.items_for(NonZeroUsize::MIN).get(), 1);
    }

    #[test]
    fn items_without_parts_are_asked_for_as_usual() {
        let demand = NonZeroUsize::new(100).unwrap();
        let mut average = PartsPerItem::default();
        average.count_item();
        assert_eq!(average.items_for(demand), demand);
    }
}
