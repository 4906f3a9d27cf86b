//! How far handlers have got in a partition, in one atomic word: [`BegunMark`] is the highest offset that a handler may have begun, and
//! whether it is *frozen*. Nothing above a frozen mark may be begun.
//!
//! The engine raises the mark before it asks whether messages are stale. A revocation makes the engine ask, and freezes the mark
//! afterwards. So each message is either below the mark when it freezes, or is asked about and found above it. Messages below are
//! handled, messages above are released, and the commit can reach everything that was done. One word, because raising and freezing
//! must exclude each other: with two, a message could be begun after the freeze and not be counted.

use std::sync::atomic::{AtomicU64, Ordering};

const FROZEN: u64 = 1 << 63;

/// One above the highest offset, or 0 without one. The top bit is set once the mark is frozen.
#[derive(Default)]
pub(super) struct BegunMark(AtomicU64);

impl BegunMark {
    /// Starts again, unfrozen.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Records that messages up to `offset` may be begun. Does nothing once the mark is frozen.
    pub(super) fn raise(&self, offset: i64) {
        let above = offset.cast_unsigned() + 1;
        let mut now = self.0.load(Ordering::Acquire);
        while now & FROZEN == 0 && now < above {
            let raised =
                self.0
                    .compare_exchange_weak(now, above, Ordering::AcqRel, Ordering::Acquire);
            match raised {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }

    pub(super) fn freeze(&self) {
        self.0.fetch_or(FROZEN, Ordering::AcqRel);
    }

    /// The highest offset that a handler may have begun.
    pub(super) fn get(&self) -> Option<i64> {
        let above = self.0.load(Ordering::Acquire) & !FROZEN;
        above.checked_sub(1).map(u64::cast_signed)
    }

    /// Whether `offset` may not be begun.
    pub(super) fn excludes(&self, offset: i64) -> bool {
        let now = self.0.load(Ordering::Acquire);
        now & FROZEN != 0 && offset.cast_unsigned() >= now & !FROZEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_mark_excludes_later_offsets_and_stays() {
        let mark = BegunMark::default();
        assert_eq!(mark.get(), None);
        mark.raise(7);
        mark.raise(3);
        assert!(!mark.excludes(100), "not frozen");
        mark.freeze();
        mark.raise(9);
        assert_eq!(mark.get(), Some(7));
        assert!(!mark.excludes(7) && mark.excludes(8));
        mark.reset();
        assert!(mark.get().is_none() && !mark.excludes(0));
    }

    #[test]
    fn a_mark_that_freezes_before_anything_was_begun_excludes_all() {
        let mark = BegunMark::default();
        mark.freeze();
        assert!(mark.excludes(0));
    }
}
