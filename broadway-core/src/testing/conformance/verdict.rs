//! How a promise is judged, and what runs it as a test.

use std::{
    io::{self, Write},
    time::Duration,
};

use tokio::{runtime::Builder, time::timeout};

use super::Subject;

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

/// Runs one promise on a runtime of its own. What [`conformance!`](crate::testing::conformance!) calls; without a subject it does
/// nothing, since whoever found no broker has said so.
///
/// # Panics
///
/// When the promise is broken, or takes more than five minutes.
#[doc(hidden)]
pub fn keep<S: Subject>(name: &str, subject: Option<S>, promise: impl AsyncFnOnce(&S) -> Verdict) {
    let Some(subject) = subject else { return };
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for a test");
    let verdict = runtime.block_on(async { timeout(LIMIT, promise(&subject)).await });
    match verdict {
        Ok(Verdict::Kept) => {}
        Ok(Verdict::DoesNotApply(why)) => {
            // Not `println`: the harness swallows what a test prints that passes.
            let told = writeln!(io::stderr(), "{name} does not apply: {why}");
            told.expect("standard error is open");
        }
        Err(_) => panic!("{name} did not end within {LIMIT:?}"),
    }
}
