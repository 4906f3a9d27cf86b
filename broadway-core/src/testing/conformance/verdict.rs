//! [`Verdict`]: the result of a promise, and the function that runs one as a test.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::{runtime::Builder, time::timeout};

use super::ConnectorUnderTest;

/// The time limit of one promise: far more than any takes, so that only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(300);

/// The result of a promise. A broken promise panics instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The promise was kept.
    Kept,
    /// The broker does not support it, for this reason.
    DoesNotApply(&'static str),
}

tokio::task_local! {
    /// The running test, as the harness names it.
    static TEST: &'static str;
}

/// Returns the name of this test in the harness; `None` if the promise runs elsewhere.
pub(super) fn test_name() -> Option<&'static str> {
    TEST.try_with(|name| *name).ok()
}

/// Runs one promise on a runtime of its own. [`conformance!`](crate::testing::conformance!) calls it. Without a
/// connector it does nothing, because the caller has reported the missing broker. `path` is the path of the test,
/// with its crate.
///
/// # Panics
///
/// Panics if the promise is broken, or takes more than five minutes.
#[doc(hidden)]
pub fn keep<S: ConnectorUnderTest>(
    path: &'static str,
    connector: Option<S>,
    promise: impl AsyncFnOnce(&S) -> Verdict,
) {
    let Some(connector) = connector else { return };
    // The harness omits the crate.
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
            // Not with `println`, because the harness captures the output of tests that pass. In one piece, for tests
            // that run side by side.
            let line = format!("{name} does not apply: {why}\n");
            let written = io::stderr().write_all(line.as_bytes());
            written.expect("standard error is open");
        }
        Err(_) => panic!("{name} did not end within {LIMIT:?}"),
    }
}
