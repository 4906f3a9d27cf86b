//! [`check`]: which windows an aggregate cannot compute.

use broadway_core::Problem;

use crate::{
    Windows,
    window::{EarlyFiring, WindowKind},
};

/// Returns why these windows do not work with an aggregate that merges, or does not.
pub(crate) fn check<T>(windows: &Windows<T>, merges: bool) -> Option<Problem> {
    let fixed = matches!(windows.kind, WindowKind::Time { size, slide, .. } if size == slide);
    if windows.empty && !fixed {
        return Some(Problem::new("emit_empty", "needs fixed windows"));
    }
    match windows.kind {
        WindowKind::Time { size, slide, .. } if slide < size => {
            if !merges {
                return Some(needs_merge("sliding windows"));
            }
            let early = !matches!(windows.early, EarlyFiring::Never);
            early.then(|| {
                let message = "sliding windows that overlap fire only at their end: use fixed windows, or no trigger";
                Problem::new("trigger", message)
            })
        }
        WindowKind::Session { .. } if !merges => Some(needs_merge("sessions")),
        _ => None,
    }
}

fn needs_merge(windows: &str) -> Problem {
    let message = format!(
        "{windows} need an aggregate that merges: use `reduce_merging` in place of `reduce`; in an aggregate of your own set `MERGES`, and write `merge`"
    );
    Problem::new("aggregate", message)
}
