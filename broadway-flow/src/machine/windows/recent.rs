//! [`RecentPane`]: the pane of the last event, so that the next one is placed without a division.

use crate::Timestamp;

/// The pane of the last event, and the times that belong to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecentPane {
    pane: i64,
    from: i64,
    /// The first millisecond after the pane. Not above `from`: no time is known to belong to it.
    to: i64,
}

/// A pane, and the first millisecond of it and after it.
pub(super) type Placed = (i64, [Timestamp; 2]);

impl RecentPane {
    /// Returns the pane of a time. `find` is called if it is another one than before; it returns `None` between two windows.
    #[inline]
    pub(super) fn of(
        &mut self,
        time: Timestamp,
        find: impl FnOnce(Timestamp) -> Option<Placed>,
    ) -> Option<i64> {
        if (self.from..self.to).contains(&time.as_millis()) {
            return Some(self.pane);
        }
        let (pane, [from, to]) = find(time)?;
        (self.pane, self.from, self.to) = (pane, from.as_millis(), to.as_millis());
        Some(pane)
    }
}

impl Default for RecentPane {
    fn default() -> Self {
        let (pane, from, to) = (0, 0, 0);
        Self { pane, from, to }
    }
}
