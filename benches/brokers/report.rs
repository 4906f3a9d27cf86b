//! The output, as a table and as JSON.

use std::io::{Write, stderr, stdout};

use serde::Serialize;

use super::{BoxError, clock::Cost};

/// Prints figures as they become available.
pub(crate) struct Report {
    bench: &'static str,
    json: bool,
    rounds: usize,
}

/// The result of a comparison.
pub(crate) struct Compared {
    pub(crate) scenario: &'static str,
    pub(crate) about: &'static str,
    pub(crate) reference: &'static str,
    pub(crate) messages: u64,
}

/// The JSON line. `ratio` is by wall time here, and `cpu_ratio` by CPU time.
#[derive(Serialize)]
struct Line<'a> {
    bench: &'static str,
    scenario: &'a str,
    cpu_ns: f64,
    wall_ns: f64,
    reference: &'a str,
    reference_cpu_ns: f64,
    reference_wall_ns: f64,
    ratio: f64,
    cpu_ratio: f64,
    messages: u64,
    rounds: usize,
}

impl Report {
    pub(crate) fn begin(bench: &'static str, json: bool, rounds: usize) -> Result<Self, BoxError> {
        let report = Self {
            bench,
            json,
            rounds,
        };
        report.talk(&format!(
            "Medians of {rounds} interleaved rounds, first message to last. CPU is user + system of this process.\n\
             A ratio is the reference's time over ours: above 1 we need less.\n\n\
             {:<22} {:<18} {:>10} {:>10} {:>10} {:>7} {:>7}\n{:<22} {:<18} {:>10} {:>10} {:>10} {:>7} {:>7}\n",
            "scenario", "program", "CPU", "wall", "rate", "ratio", "ratio",
            "", "", "ns/msg", "ns/msg", "kmsg/s", "wall", "CPU",
        ))?;
        Ok(report)
    }

    pub(crate) fn scenario(
        &self,
        compared: &Compared,
        ours: &[Cost],
        reference: &[Cost],
    ) -> Result<(), BoxError> {
        let Compared {
            scenario,
            about,
            reference: name,
            messages,
        } = *compared;
        let (cpu_ns, wall_ns) = medians(ours, messages);
        let (reference_cpu_ns, reference_wall_ns) = medians(reference, messages);
        let (ratio, cpu_ratio) = (reference_wall_ns / wall_ns, reference_cpu_ns / cpu_ns);
        self.talk(&format!(
            "{:<22} {:<18} {cpu_ns:>10.0} {wall_ns:>10.0} {:>10.1} {ratio:>7.2} {cpu_ratio:>7.2}\n\
             {:<22} {:<18} {reference_cpu_ns:>10.0} {reference_wall_ns:>10.0} {:>10.1}\n  {} ({messages} messages)\n",
            scenario,
            "broadway",
            1e6 / wall_ns,
            "",
            name,
            1e6 / reference_wall_ns,
            about,
        ))?;
        if self.json {
            let line = Line {
                bench: self.bench,
                scenario,
                cpu_ns: rounded(cpu_ns, 1),
                wall_ns: rounded(wall_ns, 1),
                reference: name,
                reference_cpu_ns: rounded(reference_cpu_ns, 1),
                reference_wall_ns: rounded(reference_wall_ns, 1),
                ratio: rounded(ratio, 2),
                cpu_ratio: rounded(cpu_ratio, 2),
                messages,
                rounds: self.rounds,
            };
            writeln!(stdout(), "{}", serde_json::to_string(&line)?)?;
        }
        Ok(())
    }

    /// Prints text for people: on stdout, unless stdout carries JSON.
    fn talk(&self, text: &str) -> Result<(), BoxError> {
        let written = if self.json {
            stderr().write_all(text.as_bytes())
        } else {
            stdout().write_all(text.as_bytes())
        };
        Ok(written?)
    }
}

fn medians(costs: &[Cost], messages: u64) -> (f64, f64) {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        f64::midpoint(values[values.len() / 2], values[(values.len() - 1) / 2])
    };
    let per_message = |time: std::time::Duration| time.as_secs_f64() * 1e9 / messages as f64;
    let cpu = costs.iter().map(|cost| per_message(cost.cpu)).collect();
    let wall = costs.iter().map(|cost| per_message(cost.wall)).collect();
    (median(cpu), median(wall))
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
