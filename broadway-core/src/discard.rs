//! Dropping values of the user's, whose `Drop` may panic.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Drops a value of the user's. Contains a panic in its `Drop`, and leaks the payload of that panic, whose own `Drop` could panic, too.
pub(crate) fn discard<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        mem::forget(payload);
    }
}
