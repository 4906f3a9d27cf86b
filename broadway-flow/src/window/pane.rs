//! [`Windowed`]: a result with its window, and why it was emitted.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A window: which events a result is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Window {
    /// All events.
    Global,
    /// The events between two points in time: `start` belongs to the window, `end` does not. Fixed, sliding and session windows.
    Time {
        /// The first millisecond.
        start: Timestamp,
        /// The first millisecond after the window.
        end: Timestamp,
    },
    /// The window with this number, from 0: count windows, of each key, and periodic windows.
    Number(u64),
}

/// Why a window emitted its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Firing {
    /// A trigger fired before the end of the window.
    Early,
    /// The window is complete: the watermark has passed its end, the count is reached, the period is over, or the input has ended.
    OnTime,
    /// An event arrived after the watermark had passed the end of the window, but within its allowed lateness.
    Late,
}

/// A result, its window, and why it was emitted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Windowed<T> {
    /// The window.
    pub window: Window,
    /// Why the result was emitted.
    pub firing: Firing,
    /// The result.
    pub value: T,
}

impl<T> Windowed<T> {
    /// Returns the start of a time window; `None` for other windows.
    #[must_use]
    pub const fn start(&self) -> Option<Timestamp> {
        match self.window {
            Window::Time { start, .. } => Some(start),
            Window::Global | Window::Number(_) => None,
        }
    }

    /// Returns the end of a time window, which does not belong to it; `None` for other windows.
    #[must_use]
    pub const fn end(&self) -> Option<Timestamp> {
        match self.window {
            Window::Time { end, .. } => Some(end),
            Window::Global | Window::Number(_) => None,
        }
    }
}

impl Window {
    /// The time of a result of this window: its last millisecond. `None` for windows without times.
    pub(crate) const fn time(self) -> Option<Timestamp> {
        match self {
            Self::Time { end, .. } => Some(end.plus(-1)),
            Self::Global | Self::Number(_) => None,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.write_str("all events"),
            Self::Time { start, end } => write!(f, "{start} to {end}"),
            Self::Number(n) => write!(f, "window {n}"),
        }
    }
}
