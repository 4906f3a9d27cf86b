//! The lock, the shared pointer and the clock that links and inline tasks are built on, named here so that the model checker can
//! substitute its own (see `tests/link-model`).

pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic},
    thread_local,
    time::Instant,
};

/// Returns the value if `last` is its only pointer, and `None` otherwise.
pub(crate) fn into_inner<T>(last: Arc<T>) -> Option<T> {
    Arc::into_inner(last)
}
