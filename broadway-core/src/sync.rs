//! The locks, pointers and atomics that links and lendings are built on, named here so that the model checker can substitute its own
//! (see `tests/link-model`).

pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic};

/// Returns the value if `last` is its only pointer, and `None` otherwise.
pub(crate) fn into_inner<T>(last: Arc<T>) -> Option<T> {
    Arc::into_inner(last)
}
