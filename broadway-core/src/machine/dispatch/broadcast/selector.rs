//! [`Selector`]: which events of a broadcast an inlet gets.

use std::fmt;
use std::sync::Arc;

/// Selects the events of a [`Broadcast`](super::Broadcast) that a subscription gets. Defaults to all.
///
/// Clones share the function. It is called under the link's lock, once for each event: keep it short.
///
/// ```
/// use broadway_core::machine::dispatch::Selector;
///
/// let even = Selector::new(|n: &u32| n % 2 == 0);
/// assert!(even.selects(&4) && !even.selects(&5));
/// assert!(Selector::default().selects(&5));
/// ```
pub struct Selector<T> {
    /// `None` selects everything and costs no call.
    selects: Option<Arc<Select<T>>>,
}

type Select<T> = dyn Fn(&T) -> bool + Send + Sync;

impl<T> Selector<T> {
    /// Selects the events for which `selects` returns true.
    pub fn new(selects: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self {
            selects: Some(Arc::new(selects)),
        }
    }

    /// Selects every event.
    #[must_use]
    pub const fn everything() -> Self {
        Self { selects: None }
    }

    /// Returns whether this event is selected.
    #[must_use]
    pub fn selects(&self, event: &T) -> bool {
        self.selects.as_ref().is_none_or(|selects| selects(event))
    }

    pub(super) const fn is_everything(&self) -> bool {
        self.selects.is_none()
    }
}

impl<T> Default for Selector<T> {
    fn default() -> Self {
        Self::everything()
    }
}

impl<T> Clone for Selector<T> {
    fn clone(&self) -> Self {
        Self {
            selects: self.selects.clone(),
        }
    }
}

impl<T> fmt::Debug for Selector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.selects {
            None => "Selector(everything)",
            Some(_) => "Selector(by function)",
        })
    }
}
