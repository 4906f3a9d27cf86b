//! The figures of one scenario.

use std::fmt;

use serde::Serialize;

use crate::support::BoxError;

/// Ours and the reference's figure, each the median of its rounds.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) messages: u64,
    pub(crate) rounds: usize,
    pub(crate) reference: &'static str,
    #[serde(flatten)]
    pub(crate) figures: Figures,
    pub(crate) ratio: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<f64>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Figures {
    Wall {
        wall_ms: f64,
        reference_wall_ms: f64,
    },
    P99 {
        p99_ms: f64,
        reference_p99_ms: f64,
    },
    Memory {
        rss_kib: u64,
        reference_rss_kib: u64,
    },
}

#[derive(Serialize)]
struct Named<'a> {
    bench: &'static str,
    scenario: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

impl Line {
    pub(crate) fn json(&self, scenario: &str) -> Result<String, BoxError> {
        let named = Named {
            bench: "lanes",
            scenario,
            line: self,
        };
        Ok(serde_json::to_string(&named)?)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reference, ratio) = (self.reference, self.ratio);
        match &self.figures {
            Figures::Wall {
                wall_ms,
                reference_wall_ms,
            } => write!(f, "{wall_ms:.1} ms, {reference} {reference_wall_ms:.1} ms"),
            Figures::P99 {
                p99_ms,
                reference_p99_ms,
            } => write!(
                f,
                "p99 {p99_ms:.2} ms, {reference} {reference_p99_ms:.2} ms"
            ),
            Figures::Memory {
                rss_kib,
                reference_rss_kib,
            } => write!(f, "{rss_kib} KiB, {reference} {reference_rss_kib} KiB"),
        }?;
        write!(f, ", ratio {ratio:.3}")
    }
}

/// The middle value.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
