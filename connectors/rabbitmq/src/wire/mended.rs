//! Deliveries whose frames were mended.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// A delivery as the client could not have parsed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MendedDelivery {
    pub(crate) channel: u16,
    pub(crate) tag: u64,
    /// What is wrong with the message, to be said of it.
    pub(crate) why: String,
}

/// Those of one connection that the source has not seen yet: at most as many as the broker may send unsettled. And how far deliveries
/// have come.
#[derive(Debug, Default)]
pub(crate) struct MendedDeliveries {
    /// So that a source whose messages are all well takes no lock.
    n: AtomicUsize,
    mended: Mutex<Vec<MendedDelivery>>,
    /// The tag of the last delivery that has come.
    last_tag: AtomicU64,
}

impl MendedDeliveries {
    /// The tag of the last delivery that has come, whether the client has handed it over or not.
    pub(crate) fn last_tag(&self) -> u64 {
        self.last_tag.load(Ordering::Relaxed)
    }

    /// Deliveries up to this tag have come.
    pub(super) fn has_come(&self, tag: u64) {
        self.last_tag.store(tag, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, found: impl Iterator<Item = MendedDelivery>) {
        let mut mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
        mended.extend(found);
        self.n.store(mended.len(), Ordering::Release);
    }

    /// Whether there is none. Right for each delivery that the client has handed over, since mended are added before it gets the frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.n.load(Ordering::Acquire) == 0
    }

    /// That of this delivery, which is then forgotten.
    pub(crate) fn take(&self, channel: u16, tag: u64) -> Option<MendedDelivery> {
        let mut mended = self.mended.lock().unwrap_or_else(PoisonError::into_inner);
        let at = mended
            .iter()
            .position(|mark| (mark.channel, mark.tag) == (channel, tag))?;
        let mark = mended.swap_remove(at);
        self.n.store(mended.len(), Ordering::Release);
        Some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_that_of_its_delivery_and_is_taken_once() {
        let mended = MendedDeliveries::default();
        assert!(mended.is_empty());
        let mark = |channel, tag| MendedDelivery {
            channel,
            tag,
            why: String::new(),
        };
        mended.add([mark(1, 7), mark(2, 7)].into_iter());
        assert_eq!(mended.take(1, 8), None);
        assert_eq!(mended.take(2, 7), Some(mark(2, 7)));
        assert_eq!(mended.take(2, 7), None);
        assert!(!mended.is_empty());
        assert!(mended.take(1, 7).is_some() && mended.is_empty());
    }
}
