//! The deliveries whose frames were mended, from the stream to the source.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
};

/// A delivery that the client could not have parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MendedDelivery {
    pub(crate) channel: u16,
    pub(crate) tag: u64,
    /// What the client cannot parse, for errors.
    pub(crate) flaw: String,
}

/// The mended deliveries of one connection that the source has not seen yet: at most a prefetch window. Also how many deliveries the
/// socket has received, and the broker's version.
#[derive(Debug, Default)]
pub(crate) struct MendedDeliveries {
    /// The length of `deliveries`, so that a source takes no lock while there are none, which is nearly always.
    n: AtomicUsize,
    deliveries: Mutex<Vec<MendedDelivery>>,
    last_tag: AtomicU64,
    /// 0 while it is unknown.
    broker_major: AtomicU32,
}

impl MendedDeliveries {
    /// The tag of the last delivery that the socket has received, whether the client has returned it or not.
    pub(crate) fn last_tag(&self) -> u64 {
        // A figure for reports, which orders nothing.
        self.last_tag.load(Ordering::Relaxed)
    }

    pub(super) fn set_last_tag(&self, tag: u64) {
        self.last_tag.store(tag, Ordering::Relaxed);
    }

    /// The major version of the broker, if it has sent one: known once the connection is open.
    pub(crate) fn broker_major(&self) -> Option<u32> {
        let major = self.broker_major.load(Ordering::Relaxed);
        (major > 0).then_some(major)
    }

    pub(super) fn set_broker_major(&self, major: u32) {
        self.broker_major.store(major, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, found: impl Iterator<Item = MendedDelivery>) {
        let mut deliveries = self.lock();
        deliveries.extend(found);
        self.n.store(deliveries.len(), Ordering::Release);
    }

    /// Whether there are none.
    ///
    /// Never wrong for a delivery that the client has returned: the stream adds it before the client gets its frame, which happens
    /// before the client returns the delivery.
    pub(crate) fn is_empty(&self) -> bool {
        self.n.load(Ordering::Acquire) == 0
    }

    /// Removes this delivery, and returns it if it was mended.
    pub(crate) fn take(&self, channel: u16, tag: u64) -> Option<MendedDelivery> {
        let mut deliveries = self.lock();
        let at = deliveries
            .iter()
            .position(|delivery| (delivery.channel, delivery.tag) == (channel, tag))?;
        let found = deliveries.swap_remove(at);
        self.n.store(deliveries.len(), Ordering::Release);
        Some(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<MendedDelivery>> {
        self.deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mended_delivery_is_found_by_channel_and_tag_and_taken_once() {
        let mended = MendedDeliveries::default();
        assert!(mended.is_empty());
        let delivery = |channel, tag| MendedDelivery {
            channel,
            tag,
            flaw: String::new(),
        };
        mended.add([delivery(1, 7), delivery(2, 7)].into_iter());
        assert_eq!(mended.take(1, 8), None);
        assert_eq!(mended.take(2, 7), Some(delivery(2, 7)));
        assert_eq!(mended.take(2, 7), None);
        assert!(!mended.is_empty());
        assert!(mended.take(1, 7).is_some() && mended.is_empty());
    }
}
