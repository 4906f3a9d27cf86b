//! How a topology ended is told to everyone who waits for it, whatever ends it.

use std::panic::AssertUnwindSafe;

use futures_util::future::FutureExt;

use crate::error::{RunError, panic_text};

/// Runs `work` and calls `tell` with its result: once and in any case, also if `work` panics, or if the future is dropped with
/// its runtime, even before it was first polled.
pub(super) fn reported(
    work: impl Future<Output = Result<(), RunError>>,
    tell: impl FnOnce(Result<(), RunError>),
) -> impl Future<Output = ()> {
    // One value, so that the work is dropped before the verdict is told.
    let both = (AssertUnwindSafe(work), Verdict(Some(tell)));
    async move {
        let (work, mut verdict) = both;
        let result = work.catch_unwind().await;
        verdict.tell(result.unwrap_or_else(|payload| {
            Err(RunError::Internal {
                task: "supervisor".into(),
                panic: panic_text(payload.as_ref()).into(),
            })
        }));
    }
}

/// What is to be told, until it is.
struct Verdict<F: FnOnce(Result<(), RunError>)>(Option<F>);

impl<F: FnOnce(Result<(), RunError>)> Verdict<F> {
    fn tell(&mut self, result: Result<(), RunError>) {
        if let Some(tell) = self.0.take() {
            tell(result);
        }
    }
}

impl<F: FnOnce(Result<(), RunError>)> Drop for Verdict<F> {
    fn drop(&mut self) {
        // Counted by who tells.
        self.tell(Err(RunError::RuntimeShutDown { unsettled: 0 }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{cell::RefCell, future::pending};

    use super::*;

    /// All that is told when `work` is polled, and then dropped.
    fn told(work: impl Future<Output = Result<(), RunError>>) -> Vec<Result<(), RunError>> {
        let told = RefCell::new(Vec::new());
        let reported = reported(work, |result| told.borrow_mut().push(result));
        let _ = reported.now_or_never();
        told.into_inner()
    }

    #[test]
    fn work_that_ends_is_told_once() {
        assert!(matches!(told(async { Ok(()) })[..], [Ok(())]));
    }

    #[test]
    fn a_panic_is_told_as_a_defect() {
        let told = told(async { panic!("oh") });
        let [Err(RunError::Internal { task, panic })] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!((&**task, &**panic), ("supervisor", "oh"));
    }

    #[test]
    fn work_that_is_dropped_is_told_as_such() {
        let told = told(pending());
        assert!(
            matches!(told[..], [Err(RunError::RuntimeShutDown { .. })]),
            "{told:?}"
        );
    }

    #[test]
    fn work_that_was_never_begun_is_told_as_such() {
        let told = RefCell::new(Vec::new());
        drop(reported(pending(), |result| told.borrow_mut().push(result)));
        let told = told.into_inner();
        assert!(matches!(told[..], [Err(RunError::RuntimeShutDown { .. })]));
    }
}
