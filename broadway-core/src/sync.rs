//! The lock and the shared pointer that `stage::link` is built on, named here so that the model checker can put its own
//! in their place (see `tests/link-model`).

pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic},
    thread_local,
};

/// What is in it, for the last of all that point to it; `None` for the others.
pub(crate) fn into_inner<T>(last: Arc<T>) -> Option<T> {
    Arc::into_inner(last)
}
