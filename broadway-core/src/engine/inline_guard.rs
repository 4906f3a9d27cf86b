//! Decides whether a wake may run the woken task on the spot: see [`inline_task`](super::inline_task).

use std::cell::Cell;

use crate::sync::thread_local;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's has no const form")]
    static ALLOWED: Cell<bool> = Cell::new(false);
}

/// Calls `wake`, in which inline tasks may run.
///
/// Only for callers that hold no lock, and would otherwise wait for what those tasks do.
pub(crate) fn allow(wake: impl FnOnce()) {
    let guard = InlineGuard(ALLOWED.with(|allowed| allowed.replace(true)));
    wake();
    drop(guard);
}

/// Returns a guard if the current wake may run the woken task. Until it is dropped, no other task runs inline on this thread: inline
/// runs do not nest, so the stack stays shallow.
pub(super) fn try_enter() -> Option<InlineGuard> {
    let allowed = ALLOWED.with(|allowed| allowed.replace(false));
    // Made only if it was allowed: dropping the guard allows it again.
    allowed.then(|| InlineGuard(true))
}

/// Restores, when dropped, whether inline runs were allowed before.
pub(super) struct InlineGuard(bool);

impl Drop for InlineGuard {
    fn drop(&mut self) {
        ALLOWED.with(|allowed| allowed.set(self.0));
    }
}
