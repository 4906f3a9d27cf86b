//! The task of a child process, which its parent passes in environment variables.

use std::{env, fs::File, path::PathBuf};

use super::fixture::must;
use crate::error::BoxError;

/// What a child is told.
pub(super) struct ChildTask {
    pub(super) fixture: String,
    pub(super) ledger: PathBuf,
    /// How many messages it handles.
    pub(super) share: u64,
}

const PLACE: &str = "BROADWAY_CONFORMANCE_PLACE";
const LEDGER: &str = "BROADWAY_CONFORMANCE_LEDGER";
const SHARE_OF: &str = "BROADWAY_CONFORMANCE_SHARE";

impl ChildTask {
    pub(super) fn of_this_process() -> Option<Self> {
        let ledger = env::var_os(LEDGER)?.into();
        let fixture = env::var(PLACE).expect("set with the ledger");
        let share = env::var(SHARE_OF).expect("set with the ledger");
        let share = share.parse().expect("a number");
        Some(Self {
            fixture,
            ledger,
            share,
        })
    }

    pub(super) fn open_ledger(&self) -> File {
        let ledger = File::options().append(true).open(&self.ledger);
        must("open the ledger", ledger.map_err(BoxError::from))
    }

    pub(super) fn variables(&self) -> [(&'static str, std::ffi::OsString); 3] {
        [
            (PLACE, self.fixture.clone().into()),
            (LEDGER, self.ledger.clone().into()),
            (SHARE_OF, self.share.to_string().into()),
        ]
    }
}
