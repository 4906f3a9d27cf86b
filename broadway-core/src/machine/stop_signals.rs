//! [`StopSignals`]: what each signal requests. The first one drains, a later one aborts.
//!
//! A service manager or a terminal may signal both the process group and the process, so that one request arrives
//! twice. A signal within [`TOGETHER`] of the first belongs to it.

use std::time::{Duration, Instant};

/// Signals within this time of the first are the same request.
pub const TOGETHER: Duration = Duration::from_millis(500);

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopRequest {
    /// Drain.
    Drain,
    /// Abort the drain.
    Abort,
    /// Nothing that an earlier signal did not request.
    Nothing,
}

/// The signals of one program so far.
///
/// ```
/// use broadway_core::machine::stop_signals::{StopRequest, StopSignals};
/// use std::time::{Duration, Instant};
///
/// let (mut signals, now) = (StopSignals::default(), Instant::now());
/// assert_eq!(signals.caught(now), StopRequest::Drain);
/// assert_eq!(signals.caught(now), StopRequest::Nothing);
/// assert_eq!(signals.caught(now + Duration::from_secs(2)), StopRequest::Abort);
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopSignals {
    first: Option<Instant>,
    has_aborted: bool,
}

impl StopSignals {
    /// Records that a signal was caught, and returns what it requests.
    pub fn caught(&mut self, now: Instant) -> StopRequest {
        let Some(first) = self.first else {
            self.first = Some(now);
            return StopRequest::Drain;
        };
        if self.has_aborted || now.saturating_duration_since(first) < TOGETHER {
            return StopRequest::Nothing;
        }
        self.has_aborted = true;
        StopRequest::Abort
    }
}
