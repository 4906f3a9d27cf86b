//! The output on standard error: one line that is written again and again, and notes.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often the line is written at most.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on the terminal. Nothing if standard error is not a terminal.
#[derive(Debug, Clone)]
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

    /// Writes the line, unless it was just written.
    pub(crate) fn show(&self, text: impl FnOnce() -> String) {
        let Some(last) = &self.0 else { return };
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() < INTERVAL {
            return;
        }
        *last = Instant::now();
        let mut err = io::stderr().lock();
        let _ = write!(err, "\r{}\x1b[K", text()).and_then(|()| err.flush());
    }

    /// Writes a line that stays.
    pub(crate) fn note(&self, text: &str) {
        self.clear();
        eprintln!("broadway-queue: {text}");
    }

    /// Removes the line.
    pub(crate) fn clear(&self) {
        if self.0.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// How much of a whole, as `12 of 48 records (25%)`.
pub(crate) fn share(part: u64, whole: u64, show: impl Fn(u64) -> String) -> String {
    let percent = part.min(whole).saturating_mul(100) / whole.max(1);
    format!("{} of {} ({percent}%)", show(part), show(whole))
}
