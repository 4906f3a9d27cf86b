//! [`Queue`]: the sealed panes of a key, from which its next sliding windows are made.

use super::stacks::Stacks;

/// The panes of a key that a window has fired with, and that further windows need.
pub(super) struct Queue<S> {
    pub(super) panes: Stacks<S>,
    /// All windows below have fired for this key. It exceeds the machine's own number only after state has been loaded from a machine whose
    /// watermark was further.
    pub(super) fired_below: i128,
}

impl<S: Clone> Queue<S> {
    pub(super) fn new(fired_below: i128) -> Self {
        Self {
            panes: Stacks::default(),
            fired_below,
        }
    }
}
