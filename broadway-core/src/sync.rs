//! The lock and the shared pointer that `stage::link` is built on, named here so that the model checker can put its own
//! in their place (see `tests/link-model`).

pub(crate) use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, atomic},
    thread_local,
};
