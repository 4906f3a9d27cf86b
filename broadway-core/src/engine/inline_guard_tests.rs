//! Who may run what he wakes. Here and not in `inline.rs`, which the model checker compiles with thread-locals of its own.

use super::inline_guard::{permission, running};

#[test]
fn who_wakes_from_elsewhere_may_run_nothing_however_often() {
    assert!(permission().is_none());
    assert!(permission().is_none());
}

#[test]
fn what_drives_others_is_not_driven_itself() {
    running(|| {
        let of_one = permission();
        assert!(of_one.is_some());
        assert!(permission().is_none());
        drop(of_one);
        assert!(permission().is_some(), "for the next that is woken");
    });
    assert!(permission().is_none());
}
