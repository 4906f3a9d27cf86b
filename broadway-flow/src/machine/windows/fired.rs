//! [`Fired`]: a result on its way out of the machine.

use crate::{Firing, Window, epoch::Epoch};

/// A result of a key and window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fired<K, O> {
    /// The key.
    pub(crate) key: K,
    /// The window.
    pub(crate) window: Window,
    /// Why the window fired.
    pub(crate) firing: Firing,
    /// The result.
    pub(crate) value: O,
    /// The oldest epoch of the events in the result.
    pub(crate) since: Epoch,
}
