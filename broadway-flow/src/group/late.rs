//! [`Late`]: an event that came too late for its windows.

use std::{fmt, sync::Arc};

use crate::{Timestamp, sink::Meter};

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
pub(crate) struct LateOutput<K, T>(Option<Arc<LateFn<K, T>>>);

type LateFn<K, T> = dyn Fn(Late<K, T>) + Send + Sync;

impl<K, T> LateOutput<K, T> {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(output: impl Fn(Late<K, T>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(output)))
    }

    /// Returns whether the event went somewhere.
    fn send(&self, key: K, event: T, time: Timestamp) -> bool {
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

/// Handles the late events of an operator in one worker.
pub(crate) struct LateEvents<K, T> {
    output: LateOutput<K, T>,
    has_warned: bool,
}

impl<K, T> LateEvents<K, T> {
    pub(crate) const fn new(output: LateOutput<K, T>) -> Self {
        Self {
            output,
            has_warned: false,
        }
    }

    /// Counts an event, and passes it on. Without an output, the first one is logged.
    #[cold]
    pub(crate) fn handle(&mut self, key: K, event: T, time: Timestamp, meter: &Meter) {
        meter.count_late();
        let was_sent = meter.again(|| self.output.send(key, event, time));
        if !was_sent {
            self.log(time, meter);
        }
    }

    /// Counts events that cannot be passed on, since only their state is left.
    #[cold]
    pub(crate) fn lost(&mut self, watermark: Timestamp, meter: &Meter) {
        meter.count_late();
        self.log(watermark, meter);
    }

    fn log(&mut self, time: Timestamp, meter: &Meter) {
        if std::mem::replace(&mut self.has_warned, true) {
            return;
        }
        tracing::warn!(
            target: "broadway_flow",
            operator = %meter.info(),
            time = time.as_millis(),
            "an event came too late for its windows and was left out; further ones of this worker are only counted: allow more lateness, or \
             call `on_late`",
        );
    }
}
