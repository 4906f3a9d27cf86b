//! [`Unrequested`]: messages that are sent to a bounded link without having been requested, as pushed ones.
//!
//! They do not count towards what the link requests, or a sender of such messages could keep all others from being asked. They have the
//! same bound once more.

/// Recognizes the unrequested messages of a link, and counts those that are buffered.
pub(super) struct Unrequested<T> {
    is_unrequested: fn(&T) -> bool,
    buffered: usize,
}

impl<T> Unrequested<T> {
    pub(super) fn new(is_unrequested: fn(&T) -> bool) -> Self {
        Self {
            is_unrequested,
            buffered: 0,
        }
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Counts messages that enter the buffer.
    pub(super) fn entered(&mut self, messages: &[T]) {
        self.buffered += self.count(messages);
    }

    /// Counts messages that were taken. Returns whether any of them was unrequested. Looks at them only if some may be.
    pub(super) fn taken(&mut self, messages: &[T]) -> bool {
        if self.buffered == 0 {
            return false;
        }
        let n = self.count(messages);
        self.buffered -= n;
        n > 0
    }

    fn count(&self, messages: &[T]) -> usize {
        let unrequested = |message: &&T| (self.is_unrequested)(message);
        messages.iter().filter(unrequested).count()
    }
}
