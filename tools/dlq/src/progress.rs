//! The output on standard error: one line with the counts, and the failures of the source.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use broadway::{
    dead_letters::ReplayReport,
    telemetry::{Event, Observer},
};

/// How often the line is written at most.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on the terminal that is written again and again. Nothing if standard error is not a terminal.
#[derive(Clone)]
pub(crate) struct Progress(Option<Arc<Mutex<Instant>>>);

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self(
            io::stderr()
                .is_terminal()
                .then(|| Arc::new(Mutex::new(now))),
        )
    }

    /// Returns the function that writes the counts.
    pub(crate) fn reader(&self) -> impl Fn(&ReplayReport) + Send + Sync + 'static {
        let last = self.0.clone();
        move |report| {
            let Some(last) = &last else { return };
            let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() < INTERVAL {
                return;
            }
            *last = Instant::now();
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r{}\x1b[K", summary(report)).and_then(|()| err.flush());
        }
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        if self.0.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// The counts in words.
pub(crate) fn summary(report: &ReplayReport) -> String {
    let mut text = format!("{} dead letters, {} match", report.listed, report.matched);
    for (count, what) in [
        (report.replayed, "replayed"),
        (report.failed, "failed"),
        (report.others, "other messages"),
    ] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    if let Some(error) = &report.first_error {
        text += &format!("; the first error: {error}");
    }
    text
}

/// Writes the failures of the source.
pub(crate) struct Log;

impl Observer for Log {
    fn on_event(&self, _: &str, event: &Event<'_>) {
        match event {
            Event::SourceError { error, .. } => {
                eprintln!("broadway-dlq: the source failed: {error}")
            }
            Event::ProducerFailed { error, .. } => {
                eprintln!("broadway-dlq: the source failed: {error}")
            }
            Event::AckFailed { count, reason, .. } => {
                eprintln!(
                    "broadway-dlq: {count} dead letters could not be settled and may be replayed again: {reason}"
                );
            }
            Event::CloseFailed { error, .. } => {
                eprintln!("broadway-dlq: cannot close the source: {error}")
            }
            _ => {}
        }
    }
}
