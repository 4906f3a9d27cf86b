//! The figures of one scenario.

use std::fmt;

use serde::Serialize;

use crate::support::BoxError;

/// Our rate and the reference's, each the median of its rounds.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) bench: &'static str,
    pub(crate) scenario: &'static str,
    pub(crate) per_s: f64,
    pub(crate) reference: &'static str,
    pub(crate) reference_per_s: f64,
    pub(crate) ratio: f64,
    pub(crate) messages: u64,
    pub(crate) rounds: usize,
}

impl Line {
    pub(crate) fn json(&self) -> Result<String, BoxError> {
        Ok(serde_json::to_string(self)?)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            per_s,
            reference,
            reference_per_s,
            ratio,
            ..
        } = self;
        write!(
            f,
            "{per_s:>12.0} /s, {reference} {reference_per_s:.0} /s, ratio {ratio:.2}"
        )
    }
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
