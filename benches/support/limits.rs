//! The limits of instructions per message: the file that holds them, and the comparison.
//!
//! The file has a count for each scenario of each benchmark. A limit is this count and a margin.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::BoxError;

/// How far a count may exceed the one in the file, in percent. Most scenarios vary by 2 %, and stages by up to 14 % between a
/// loaded and a quiet machine; the rest is for compilers and C libraries of other versions.
pub(crate) const MARGIN_PERCENT: f64 = 20.0;

/// The command that replaces the counts in the file.
const BLESS: &str = "scripts/test bless";

/// The counts of the file, by benchmark and scenario.
pub(crate) struct Limits {
    counts: BTreeMap<String, BTreeMap<String, f64>>,
}

/// The result of comparing a count with its limit.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Within,
    Above { counted: f64, blessed: f64 },
    Unknown { counted: f64 },
}

impl Limits {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Fails if the file is missing or malformed.
    pub(crate) fn read() -> Result<Self, BoxError> {
        let path = path();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("reading {}: {error}", path.display()))?;
        let counts = serde_json::from_str(&text)
            .map_err(|error| format!("reading {}: {error}", path.display()))?;
        Ok(Self { counts })
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub(crate) fn write(&self) -> Result<(), BoxError> {
        let path = path();
        let text = serde_json::to_string_pretty(&self.counts)? + "\n";
        std::fs::write(&path, text)
            .map_err(|error| format!("writing {}: {error}", path.display()))?;
        println!("wrote {}", path.display());
        Ok(())
    }

    /// The count of a scenario.
    pub(crate) fn get(&self, bench: &str, scenario: &str) -> Option<f64> {
        self.counts.get(bench)?.get(scenario).copied()
    }

    /// Replaces the count of a scenario.
    pub(crate) fn set(&mut self, bench: &str, scenario: &str, instructions: f64) {
        let counts = self.counts.entry(bench.to_owned()).or_default();
        counts.insert(scenario.to_owned(), (instructions * 10.0).round() / 10.0);
    }

    /// Removes the counts of scenarios that the benchmark does not have.
    pub(crate) fn keep(&mut self, bench: &str, scenarios: &[&str]) {
        if let Some(counts) = self.counts.get_mut(bench) {
            counts.retain(|name, _| scenarios.contains(&name.as_str()));
        }
    }

    /// A complaint for each count whose scenario the benchmark does not have.
    pub(crate) fn without_scenario(&self, bench: &str, scenarios: &[&str]) -> Vec<String> {
        let counts = self.counts.get(bench).into_iter().flatten();
        let unknown = counts.filter(|(name, _)| !scenarios.contains(&name.as_str()));
        unknown
            .map(|(name, _)| {
                format!(
                    "instructions.json has a limit for {name}, and the benchmark has no such scenario: restore the \
                     scenario, or remove its limit with `{BLESS}`"
                )
            })
            .collect()
    }
}

impl Verdict {
    /// Compares a count with the one of the file.
    pub(crate) fn of(blessed: Option<f64>, counted: f64) -> Self {
        match blessed {
            None => Self::Unknown { counted },
            Some(blessed) if counted > blessed * (1.0 + MARGIN_PERCENT / 100.0) => {
                Self::Above { counted, blessed }
            }
            Some(_) => Self::Within,
        }
    }

    /// A sentence with the scenario, the count, the limit and the remedy.
    pub(crate) fn complaint(&self, scenario: &str) -> Option<String> {
        match self {
            Self::Within => None,
            Self::Above { counted, blessed } => Some(format!(
                "{scenario} takes {counted:.1} instructions a message, and its limit is {blessed} + {MARGIN_PERCENT} %: find \
                 the cause (`valgrind --tool=callgrind`, see docs/benchmarks.md), or accept the new count with `{BLESS}`"
            )),
            Self::Unknown { counted } => Some(format!(
                "{scenario} has no limit in benches/instructions.json, and takes {counted:.1} instructions a message: add its \
                 limit with `{BLESS}`"
            )),
        }
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.json")
}
