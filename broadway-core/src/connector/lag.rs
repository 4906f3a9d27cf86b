//! [`LagReporter`]: how far a queue or a subscription is behind, reported while a producer lives.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use crate::{
    source::OpenContext,
    telemetry::{Emitter, Event},
};

/// Reports [`Event::Lag`] for a producer, and reports the lag as unknown when the producer ends: a last figure that stays on a dashboard
/// would look current.
///
/// Report at an interval, not for each message. The clock is read here once a report.
///
/// ```
/// use broadway_core::{OpenContext, connector::LagReporter};
/// use std::time::SystemTime;
///
/// let reporter = LagReporter::new(&OpenContext::for_test());
/// reporter.report("orders", Some(17), Some(SystemTime::now()));
/// reporter.end(); // Reports that the lag of "orders" is unknown.
/// ```
pub struct LagReporter {
    producer: usize,
    emitter: Emitter,
    /// The lock is held while observers are called, so that nothing is reported after the end.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The part of the last report, if a figure of it was known.
    known: Option<String>,
    has_ended: bool,
}

impl LagReporter {
    /// A reporter for the producer that `cx` opens.
    #[must_use]
    pub fn new(cx: &OpenContext) -> Self {
        Self {
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
            state: Mutex::default(),
        }
    }

    /// Reports how many messages of `part` are unsettled, and when the oldest of them was sent; `None` means unknown. A time in the
    /// future, from a clock that is ahead, counts as an age of zero. Does nothing after [`end`](Self::end).
    pub fn report(&self, part: &str, messages: Option<u64>, oldest: Option<SystemTime>) {
        let mut state = self.state();
        if state.has_ended {
            return;
        }
        let is_known = messages.is_some() || oldest.is_some();
        state.known = is_known.then(|| part.to_owned());
        self.emit(part, messages, oldest);
    }

    /// Reports the lag as unknown, if it was known. Idempotent.
    pub fn end(&self) {
        let mut state = self.state();
        state.has_ended = true;
        if let Some(part) = state.known.take() {
            self.emit(&part, None, None);
        }
    }

    fn emit(&self, part: &str, messages: Option<u64>, oldest: Option<SystemTime>) {
        let now = SystemTime::now();
        self.emitter.emit(&Event::Lag {
            producer: self.producer,
            part,
            messages,
            oldest: oldest.map(|sent| now.duration_since(sent).unwrap_or_default()),
        });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // An observer that panics is caught where it is called.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LagReporter {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for LagReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LagReporter")
            .field("producer", &self.producer)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::Recorder;

    #[test]
    fn a_lag_is_unknown_when_its_producer_has_ended_and_nothing_follows() {
        let recorder = Recorder::new();
        let cx = OpenContext::for_test().with_emitter(Emitter::new("test", recorder.clone()));
        let reporter = LagReporter::new(&cx);
        let ahead = SystemTime::now() + Duration::from_secs(3_600);
        reporter.report("orders", Some(3), Some(ahead));
        reporter.end();
        reporter.report("orders", Some(4), None);
        drop(reporter);
        let told: Vec<_> = recorder
            .of("lag")
            .iter()
            .map(|heard| heard.get("messages").map(str::to_owned))
            .collect();
        assert_eq!(told, [Some("3".to_owned()), Some("unknown".to_owned())]);
    }

    #[test]
    fn a_lag_that_was_never_known_is_not_reported_at_the_end() {
        let recorder = Recorder::new();
        let cx = OpenContext::for_test().with_emitter(Emitter::new("test", recorder.clone()));
        let reporter = LagReporter::new(&cx);
        reporter.report("orders", None, None);
        drop(reporter);
        assert_eq!(recorder.count("lag"), 1);
    }
}
