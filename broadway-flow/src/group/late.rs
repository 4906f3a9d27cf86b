//! [`Late`]: an event that came too late for its windows.

use std::{fmt, sync::Arc};

use crate::Timestamp;

/// An event that came too late for its windows.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Late<K, T> {
    /// The key of the event; `()` without one.
    pub key: K,
    /// The event.
    pub event: T,
    /// Its time.
    pub time: Timestamp,
}

/// Where late events go.
pub(crate) struct LateOutput<K, T>(Option<Arc<dyn Fn(Late<K, T>) + Send + Sync>>);

impl<K, T> LateOutput<K, T> {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(output: impl Fn(Late<K, T>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(output)))
    }

    /// Returns whether the event went somewhere.
    pub(crate) fn send(&self, key: K, event: T, time: Timestamp) -> bool {
        let Some(output) = &self.0 else {
            return false;
        };
        output(Late { key, event, time });
        true
    }
}

impl<K, T> Clone for LateOutput<K, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, T> fmt::Debug for LateOutput<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateOutput")
            .field("is_set", &self.0.is_some())
            .finish()
    }
}
