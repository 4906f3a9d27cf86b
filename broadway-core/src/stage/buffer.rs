//! [`Buffer`]: the option for events that wait for demand.

use crate::machine::buffer::Keep;

/// Where events wait that were emitted without demand.
///
/// Consumers get them, in order, before the stage is asked for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    size: usize,
    when_full: WhenFull,
}

/// What happens when the buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    Wait,
    Discard(Keep),
}

impl Buffer {
    /// Discards nothing. The default, with a size of 10,000. While `size` events or more are buffered, the stage receives no messages
    /// and its timers are on hold, so senders wait. Everything that a single callback emits is kept, however much it is.
    #[must_use]
    pub const fn wait(size: usize) -> Self {
        Self {
            size,
            when_full: WhenFull::Wait,
        }
    }

    /// Keeps the first `size` events and discards newer ones. GenStage's `buffer_keep: :first`.
    #[must_use]
    pub const fn keep_first(size: usize) -> Self {
        Self {
            size,
            when_full: WhenFull::Discard(Keep::First),
        }
    }

    /// Keeps the last `size` events and discards older ones. GenStage's default.
    #[must_use]
    pub const fn keep_last(size: usize) -> Self {
        Self {
            size,
            when_full: WhenFull::Discard(Keep::Last),
        }
    }

    /// Keeps all events, limited by memory only.
    #[must_use]
    pub const fn unbounded() -> Self {
        Self::wait(usize::MAX)
    }

    /// Returns the number of events at which it is full.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    pub(super) const fn when_full(&self) -> WhenFull {
        self.when_full
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::wait(10_000)
    }
}
