//! The last operators of a flow: [`Discard`] and [`Collect`].

use std::sync::{Arc, Mutex, PoisonError};

use super::{Pushed, Signal, Sink};
use crate::At;

/// Drops every event.
pub(crate) struct Discard;

impl<T> Sink<T> for Discard {
    #[inline]
    fn push(&mut self, _event: T, _at: At) -> Pushed {
        Ok(())
    }

    fn signal(&mut self, _signal: &mut Signal<'_>) -> Pushed {
        Ok(())
    }
}

/// Appends events to a list that all workers share, packet by packet.
pub(crate) struct Collect<T> {
    waiting: Vec<T>,
    all: Arc<Mutex<Vec<T>>>,
}

impl<T> Collect<T> {
    pub(crate) const fn new(all: Arc<Mutex<Vec<T>>>) -> Self {
        Self {
            waiting: Vec::new(),
            all,
        }
    }
}

impl<T: Send + 'static> Sink<T> for Collect<T> {
    #[inline]
    fn push(&mut self, event: T, _at: At) -> Pushed {
        self.waiting.push(event);
        Ok(())
    }

    fn signal(&mut self, signal: &mut Signal<'_>) -> Pushed {
        if signal.sends() && !self.waiting.is_empty() {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            all.append(&mut self.waiting);
        }
        Ok(())
    }
}
