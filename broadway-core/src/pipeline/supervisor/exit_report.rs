//! Publishes how a topology ended, whatever ended it: callers that wait for the result must not wait forever.

use std::panic::AssertUnwindSafe;

use futures_util::future::FutureExt;

use crate::error::{RunError, panic_text};

/// Runs `work` and calls `report` with its result, exactly once: also if `work` panics, or if the future is dropped with its runtime,
/// even before it was first polled.
pub(super) fn report_exit(
    work: impl Future<Output = Result<(), RunError>>,
    report: impl FnOnce(Result<(), RunError>),
) -> impl Future<Output = ()> {
    // One value, captured as a whole: its fields are dropped in this order, so the work is gone when the exit is reported.
    let both = (AssertUnwindSafe(work), ExitReport(Some(report)));
    async move {
        let (work, mut exit) = both;
        let result = work.catch_unwind().await;
        exit.report(result.unwrap_or_else(|payload| {
            Err(RunError::Internal {
                task: "supervisor".into(),
                panic: panic_text(payload.as_ref()).into(),
            })
        }));
    }
}

/// The report, until it was made.
struct ExitReport<F: FnOnce(Result<(), RunError>)>(Option<F>);

impl<F: FnOnce(Result<(), RunError>)> ExitReport<F> {
    fn report(&mut self, result: Result<(), RunError>) {
        if let Some(report) = self.0.take() {
            report(result);
        }
    }
}

impl<F: FnOnce(Result<(), RunError>)> Drop for ExitReport<F> {
    fn drop(&mut self) {
        // The supervisor fills in the number of unsettled messages.
        self.report(Err(RunError::RuntimeShutDown { unsettled: 0 }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{cell::RefCell, future::pending};

    use super::*;

    /// Returns all reports when `work` is polled once, and then dropped.
    fn reports(work: impl Future<Output = Result<(), RunError>>) -> Vec<Result<(), RunError>> {
        let reports = RefCell::new(Vec::new());
        let exit = report_exit(work, |result| reports.borrow_mut().push(result));
        let _ = exit.now_or_never();
        reports.into_inner()
    }

    #[test]
    fn the_result_of_finished_work_is_reported_once() {
        assert!(matches!(reports(async { Ok(()) })[..], [Ok(())]));
    }

    #[test]
    fn a_panic_is_reported_as_a_defect() {
        let reports = reports(async { panic!("oh") });
        let [Err(RunError::Internal { task, panic })] = &reports[..] else {
            panic!("{reports:?}");
        };
        assert_eq!((&**task, &**panic), ("supervisor", "oh"));
    }

    #[test]
    fn dropped_work_is_reported_as_a_runtime_shutdown() {
        let reports = reports(pending());
        assert!(
            matches!(reports[..], [Err(RunError::RuntimeShutDown { .. })]),
            "{reports:?}"
        );
    }

    #[test]
    fn work_that_was_never_polled_is_reported_as_a_runtime_shutdown() {
        let reports = RefCell::new(Vec::new());
        drop(report_exit(pending(), |result| {
            reports.borrow_mut().push(result);
        }));
        let reports = reports.into_inner();
        assert!(matches!(
            reports[..],
            [Err(RunError::RuntimeShutDown { .. })]
        ));
    }
}
