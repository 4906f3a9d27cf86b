//! [`InFlightCap`]: how many messages and bytes of the source may be in flight.

use std::{
    fmt,
    num::NonZeroUsize,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::tracked::SizeCode;

/// The option: at most `max` bytes, as the function measures them.
pub(super) type BytesMax<T> = (usize, Arc<dyn Fn(&T) -> usize + Send + Sync>);

/// Limits the messages of the source that were delivered and are not settled.
///
/// Producers ask for no more messages than there is room for, and bytes are admitted when messages pass to the processors, since their size
/// is not known before.
#[derive(Debug)]
pub(super) struct InFlightCap {
    messages_max: usize,
    bytes_max: usize,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    messages: usize,
    bytes: usize,
}

impl InFlightCap {
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages_max,
            bytes_max,
            used: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// Waits until there is room for at least one message. Returns for how many of `wanted` there is room, and reserves none: a producer that
    /// waits for messages must not keep the others from theirs.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn room(&self, wanted: NonZeroUsize) -> NonZeroUsize {
        loop {
            // Enabled before the look: room that is freed in between is not missed.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            {
                let used = self.lock();
                let room = self.messages_max.saturating_sub(used.messages);
                if let Some(granted) = NonZeroUsize::new(room.min(wanted.get()))
                    && used.bytes < self.bytes_max
                {
                    return granted;
                }
            }
            freed.await;
        }
    }

    /// Counts messages that the source delivered.
    pub(super) fn add_messages(&self, n: usize) {
        self.lock().messages += n;
    }

    /// Admits messages of these sizes, in their order, as far as they fit. Returns how many. One that is larger than the limit fits if no
    /// other bytes are in flight.
    pub(super) fn admit(&self, sizes: impl Iterator<Item = SizeCode>) -> usize {
        let mut used = self.lock();
        let mut admitted = 0;
        for size in sizes {
            let bytes = size.bytes();
            let fits = used.bytes == 0 || used.bytes.saturating_add(bytes) <= self.bytes_max;
            if !fits {
                break;
            }
            used.bytes = used.bytes.saturating_add(bytes);
            admitted += 1;
        }
        admitted
    }

    /// Waits until something is freed, unless `admit` would admit now.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn fits(&self, size: SizeCode) {
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            {
                let used = self.lock();
                if used.bytes == 0 || used.bytes.saturating_add(size.bytes()) <= self.bytes_max {
                    return;
                }
            }
            freed.await;
        }
    }

    /// Frees messages and bytes.
    pub(super) fn free(&self, messages: usize, bytes: usize) {
        {
            let mut used = self.lock();
            used.messages = used.messages.saturating_sub(messages);
            used.bytes = used.bytes.saturating_sub(bytes);
        }
        self.freed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caps of a pipeline's options.
pub(super) struct CapOptions<T> {
    pub(super) messages_max: Option<usize>,
    pub(super) bytes_max: Option<BytesMax<T>>,
}

impl<T> Default for CapOptions<T> {
    fn default() -> Self {
        Self {
            messages_max: None,
            bytes_max: None,
        }
    }
}

impl<T> CapOptions<T> {
    /// Returns the cap, if any is set.
    pub(super) fn cap(&self) -> Option<Arc<InFlightCap>> {
        if self.messages_max.is_none() && self.bytes_max.is_none() {
            return None;
        }
        let messages_max = self.messages_max.unwrap_or(usize::MAX);
        let bytes_max = self.bytes_max.as_ref().map_or(usize::MAX, |(max, _)| *max);
        Some(Arc::new(InFlightCap::new(messages_max, bytes_max)))
    }
}

impl<T> fmt::Debug for CapOptions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapOptions")
            .field("messages_max", &self.messages_max)
            .field("bytes_max", &self.bytes_max.as_ref().map(|(max, _)| max))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bytes: &[usize]) -> impl Iterator<Item = SizeCode> {
        bytes.iter().map(|bytes| SizeCode::of(*bytes))
    }

    #[test]
    fn a_message_above_the_limit_passes_alone() {
        let cap = InFlightCap::new(usize::MAX, 100);
        assert_eq!(cap.admit(sizes(&[60, 40, 1])), 2);
        assert_eq!(cap.admit(sizes(&[500])), 0);
        cap.free(2, 100);
        assert_eq!(cap.admit(sizes(&[500, 1])), 1);
        assert_eq!(cap.admit(sizes(&[1])), 0);
        cap.free(1, SizeCode::of(500).bytes());
        assert_eq!(cap.admit(sizes(&[100])), 1);
    }
}
