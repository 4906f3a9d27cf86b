//! How a promise is judged, and what runs it as a test.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::{runtime::Builder, time::timeout};

use super::ConnectorUnderTest;

/// How long one promise may take: far more than any does, so that only a hang meets it.
const LIMIT: Duration = Duration::from_secs(300);

/// What became of a promise. One that is broken panics instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It was kept.
    Kept,
    /// The broker cannot do what it is about, for this reason.
    DoesNotApply(&'static str),
}

tokio::task_local! {
    /// The test that runs, as the harness names it.
    static TEST: &'static str;
}

/// What the harness calls this test; `None` in a promise that something else runs.
pub(super) fn test_name() -> Option<&'static str> {
    TEST.try_with(|name| *name).ok()
}

/// Runs one promise on a runtime of its own. What [`conformance!`](crate::testing::conformance!) calls; without a connector it does
/// nothing, since whoever found no broker has said so. `path` is that of the test, with its crate.
///
/// # Panics
///
/// When the promise is broken, or takes more than five minutes.
#[doc(hidden)]
pub fn keep<S: ConnectorUnderTest>(
    path: &'static str,
    connector: Option<S>,
    promise: impl AsyncFnOnce(&S) -> Verdict,
) {
    let Some(connector) = connector else { return };
    // The harness leaves out the crate.
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for a test");
    let verdict = runtime.block_on(async {
        let promise = TEST.scope(name, promise(&connector));
        timeout(LIMIT, promise).await
    });
    match verdict {
        Ok(Verdict::Kept) => {}
        Ok(Verdict::DoesNotApply(why)) => {
            // Not `println`: the harness swallows what a test prints that passes. In one piece, for tests run side by side.
            let told = format!("{name} does not apply: {why}\n");
            let told = io::stderr().write_all(told.as_bytes());
            told.expect("standard error is open");
        }
        Err(_) => panic!("{name} did not end within {LIMIT:?}"),
    }
}
