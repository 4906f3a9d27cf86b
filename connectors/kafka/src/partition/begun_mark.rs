//! How far into a partition handling has got, as one word: the highest offset that a handler may have begun, and whether it
//! is *frozen*, from when on nothing above it may be begun.
//!
//! The engine raises the mark before it asks whether messages are stale; a revocation makes the engine ask and then
//! freezes the mark. So each message is either below the mark when that freezes, or is asked about and found to lie
//! beyond. What lies below is handled, what lies beyond is released: the commit can reach all that was done.

use std::sync::atomic::{AtomicU64, Ordering};

const FROZEN: u64 = 1 << 63;

/// One above the highest offset, 0 if there is none; the top bit is that of a frozen mark.
#[derive(Default)]
pub(super) struct BegunMark(AtomicU64);

impl BegunMark {
    /// Begins anew, not frozen.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Messages up to `offset` may be begun. Changes nothing once the mark is frozen.
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

    /// The highest offset that may have been begun.
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
    fn a_frozen_mark_excludes_what_lies_beyond_it_and_stays() {
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
    fn a_mark_that_freezes_before_anything_began_excludes_all() {
        let mark = BegunMark::default();
        mark.freeze();
        assert!(mark.excludes(0));
    }
}
