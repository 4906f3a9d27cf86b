//! When a wake may run what it wakes, right there: see [`driven`](super::inline_task).

use std::cell::Cell;

use crate::sync::thread_local;

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the model checker's has no const form")]
    static MAY_RUN: Cell<bool> = Cell::new(false);
}

/// Calls `wake`. Inline tasks that it wakes may run in it.
///
/// Only for who holds no lock, and would otherwise wait for what they do.
pub(crate) fn running(wake: impl FnOnce()) {
    let permission = Permission(MAY_RUN.with(|may_run| may_run.replace(true)));
    wake();
    drop(permission);
}

/// Whether the one who wakes now may run what he wakes. If so nothing that this wakes may, until it is dropped: what
/// drives others is not itself driven.
pub(super) fn permission() -> Option<Permission> {
    let may_run = MAY_RUN.with(|may_run| may_run.replace(false));
    // Made only if there was one: dropped, it gives it back.
    may_run.then(|| Permission(true))
}

/// Puts back what was.
pub(super) struct Permission(bool);

impl Drop for Permission {
    fn drop(&mut self) {
        MAY_RUN.with(|may_run| may_run.set(self.0));
    }
}
