//! The source as its user writes it: where, and the options.

use std::{path::PathBuf, time::Duration};

use broadway::Problem;

use super::{ack::OnFailure, folders::Folders};

/// Reads a spool folder.
///
/// Messages come in the order of their names. A failed one comes again after a [pause](Self::pause), behind those that
/// came meanwhile; with several producers, or publishers whose clocks differ, no order is promised at all.
#[derive(Debug, Clone)]
pub struct Spool {
    pub(super) folders: Folders,
    pub(super) lease: Duration,
    pub(super) pause: Duration,
    pub(super) poll: Duration,
    pub(super) on_failure: OnFailure,
}

impl Spool {
    /// Reads the spool in this folder, which has to exist.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self {
            folders: Folders::new(path),
            lease: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            poll: Duration::from_millis(100),
            on_failure: OnFailure::Again,
        }
    }

    /// How long a message is held after the last sign of life of who took it: 30 s, and 100 ms to a day. While the process
    /// lives it is renewed at a third of that, so that a slow handler keeps its message.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a failed message waits before it comes again: 5 s, and 1 ms to a day.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How often an empty folder is looked at: 100 ms, and 1 ms to a day.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// What becomes of failed messages: [`OnFailure::Again`].
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// Every option that cannot work, not only the first.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.folders.root().as_os_str().is_empty() {
            let message = "is empty; give the path of a folder that exists";
            problems.push(Problem::new("folder", message));
        }
        let (ms, day) = (Duration::from_millis(1), Duration::from_secs(86_400));
        let durations = [
            ("lease", self.lease, ms * 100),
            ("pause", self.pause, ms),
            ("poll", self.poll, ms),
        ];
        for (option, value, min) in durations {
            if value < min || value > day {
                let message = format!("is {value:?}; give {min:?} to a day");
                problems.push(Problem::new(option, message));
            }
        }
        problems
    }
}
