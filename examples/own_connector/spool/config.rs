//! The source and its options: [`Spool`].

use std::{path::PathBuf, time::Duration};

use broadway::{connector::Checks, error::Problem};

use super::{ack::OnFailure, folders::Folders};

/// Reads a spool folder.
///
/// Messages are delivered in the order of their names. A failed message is delivered again after a [pause](Self::pause), behind
/// messages that arrived meanwhile. With several producers, or publishers whose clocks differ, no order is promised.
#[derive(Debug, Clone)]
pub struct Spool {
    pub(super) folders: Folders,
    pub(super) lease: Duration,
    pub(super) pause: Duration,
    pub(super) poll: Duration,
    pub(super) on_failure: OnFailure,
}

impl Spool {
    /// Reads the spool in this folder. The folder must exist.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self {
            folders: Folders::new(path),
            lease: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            poll: Duration::from_millis(100),
            on_failure: OnFailure::Retry,
        }
    }

    /// How long a message stays hidden from other consumers after its lease was last renewed. While the process runs, leases are renewed
    /// at a third of this time, so a slow handler keeps its message. Defaults to 30 s; from 100 ms to a day.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a failed message waits before it is delivered again. Defaults to 5 s; from 1 ms to a day.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// How often an empty folder is polled. Defaults to 100 ms; from 1 ms to a day.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// What happens to messages that failed. Defaults to [`OnFailure::Retry`].
    #[must_use]
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = on_failure;
        self
    }

    /// All invalid options, not only the first.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.require(
            !self.folders.root().as_os_str().is_empty(),
            "folder",
            "is empty; give the path of a folder that exists",
        );
        let (ms, day) = (Duration::from_millis(1), Duration::from_secs(86_400));
        checks.duration_within("lease", self.lease, ms * 100..=day);
        checks.duration_within("pause", self.pause, ms..=day);
        checks.duration_within("poll", self.poll, ms..=day);
        checks.into_problems()
    }
}
