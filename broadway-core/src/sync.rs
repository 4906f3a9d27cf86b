//! The lock, the shared pointer and the clock that `stage::link` and `stage::driven` are built on, named here so that the model
//! checker can put its own in their place (see `tests/link-model`).

pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic},
    thread_local,
    time::Instant,
};

/// What is in it, for the last of all that point to it; `None` for the others.
pub(crate) fn into_inner<T>(last: Arc<T>) -> Option<T> {
    Arc::into_inner(last)
}
