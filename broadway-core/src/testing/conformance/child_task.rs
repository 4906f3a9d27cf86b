//! [`ChildTask`]: the task of a child process, which its parent passes in environment variables.

use std::{env, fs::File, path::PathBuf};

use super::fixture::must;
use crate::error::BoxError;

/// The task of a child process.
pub(super) struct ChildTask {
    pub(super) fixture: String,
    pub(super) log: PathBuf,
    /// How many messages to handle.
    pub(super) share: u64,
}

const FIXTURE: &str = "BROADWAY_CONFORMANCE_FIXTURE";
const LOG: &str = "BROADWAY_CONFORMANCE_LOG";
const SHARE_OF: &str = "BROADWAY_CONFORMANCE_SHARE";

impl ChildTask {
    pub(super) fn of_this_process() -> Option<Self> {
        let log = env::var_os(LOG)?.into();
        let fixture = env::var(FIXTURE).expect("set with the log");
        let share = env::var(SHARE_OF).expect("set with the log");
        let share = share.parse().expect("a number");
        Some(Self {
            fixture,
            log,
            share,
        })
    }

    pub(super) fn open_log(&self) -> File {
        let log = File::options().append(true).open(&self.log);
        must("open the log", log.map_err(BoxError::from))
    }

    pub(super) fn variables(&self) -> [(&'static str, std::ffi::OsString); 3] {
        [
            (FIXTURE, self.fixture.clone().into()),
            (LOG, self.log.clone().into()),
            (SHARE_OF, self.share.to_string().into()),
        ]
    }
}
