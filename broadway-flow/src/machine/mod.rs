//! Pure state machines: no tokio, no clock. Each is driven by calls, and returns what follows from them.

pub(crate) mod barriers;
pub(crate) mod event_clock;
pub(crate) mod grid;
pub(crate) mod joins;
pub(crate) mod progress;
pub(crate) mod saved;
pub(crate) mod settlement;
pub(crate) mod uniq;
pub(crate) mod watermarks;
pub(crate) mod windows;
