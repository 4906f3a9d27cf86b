//! Windows: which events are aggregated together, and when their result is emitted.

mod pane;
mod windows;

pub use pane::{Firing, Window, Windowed};
pub use windows::{AfterFiring, Decision, LateFiring, Windows};
pub(crate) use windows::{EarlyFiring, WindowKind};
