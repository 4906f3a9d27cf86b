//! [`EmptyDeliveries`]: pauses for a producer that returns no messages at once, so that polling it does not occupy a
//! core.
//!
//! The first pause is [`PAUSE_MIN`]. Each empty delivery doubles it, up to [`PAUSE_MAX`]; a message ends the pauses. A
//! producer that reaches the longest pause is reported once: an occasional empty delivery is allowed.

use std::time::Duration;

/// The first pause.
pub const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_millis(100);

/// The pause after an empty delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// How long to pause.
    pub length: Duration,
    /// Whether to report the producer: its deliveries have been empty for so long that the pause is the longest, for
    /// the first time.
    pub is_news: bool,
}

/// Counts the empty deliveries of one producer.
///
/// ```
/// use broadway_core::machine::empty_deliveries::{EmptyDeliveries, PAUSE_MIN};
///
/// let mut answers = EmptyDeliveries::default();
/// assert_eq!(answers.empty().length, PAUSE_MIN);
/// assert_eq!(answers.empty().length, 2 * PAUSE_MIN);
/// answers.filled();
/// assert_eq!(answers.empty().length, PAUSE_MIN);
/// ```
#[derive(Debug, Clone, Default)]
pub struct EmptyDeliveries {
    in_a_row: u32,
    is_reported: bool,
}

impl EmptyDeliveries {
    /// Records that the producer returned no messages, and returns how long to pause.
    pub fn empty(&mut self) -> Pause {
        let doubled = 2_u32.checked_pow(self.in_a_row);
        let length = doubled.map_or(PAUSE_MAX, |times| {
            PAUSE_MIN.saturating_mul(times).min(PAUSE_MAX)
        });
        self.in_a_row = self.in_a_row.saturating_add(1);
        let is_longest = length == PAUSE_MAX;
        let is_news = is_longest && !self.is_reported;
        self.is_reported |= is_longest;
        Pause { length, is_news }
    }

    /// Records that the producer returned messages.
    pub fn filled(&mut self) {
        self.in_a_row = 0;
    }
}
