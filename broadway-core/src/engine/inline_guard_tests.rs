//! When a wake may run the woken task. Not in `inline_guard.rs`, which the model checker compiles with thread-locals of its own.

use super::inline_guard::{allow, try_enter};

#[test]
fn a_wake_from_elsewhere_runs_nothing_inline() {
    assert!(try_enter().is_none());
    assert!(try_enter().is_none());
}

#[test]
fn inline_runs_do_not_nest() {
    allow(|| {
        let first = try_enter();
        assert!(first.is_some());
        assert!(try_enter().is_none());
        drop(first);
        assert!(try_enter().is_some(), "for the next task that is woken");
    });
    assert!(try_enter().is_none());
}
