//! What people and programs get to read.

use std::io::{Write, stderr, stdout};

use serde::Serialize;

use super::clock::Cost;
use super::{BoxError, Scenario};

/// Prints figures as they come.
pub(crate) struct Report {
    json: bool,
    rounds: usize,
}

/// As in every benchmark; `ratio` is by wall time here.
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
    rounds: usize,
}

impl Report {
    pub(crate) fn begin(json: bool, rounds: usize) -> Result<Self, BoxError> {
        let report = Self { json, rounds };
        report.talk(&format!(
            "Medians of {rounds} interleaved rounds, first message to last. CPU is user + system of this process.\n\
             `ratio` is the reference's wall time over ours: above 1 we are faster.\n\n\
             {:<18} {:<18} {:>10} {:>10} {:>10} {:>7}\n{:<18} {:<18} {:>10} {:>10} {:>10}\n",
            "scenario", "program", "CPU", "wall", "rate", "ratio", "", "", "ns/msg", "ns/msg", "kmsg/s",
        ))?;
        Ok(report)
    }

    pub(crate) fn scenario(
        &self,
        scenario: &Scenario,
        messages: u64,
        ours: &[Cost],
        reference: &[Cost],
    ) -> Result<(), BoxError> {
        let (cpu_ns, wall_ns) = medians(ours, messages);
        let (reference_cpu_ns, reference_wall_ns) = medians(reference, messages);
        let ratio = reference_wall_ns / wall_ns;
        let row = |name: &str, program: &str, cpu: f64, wall: f64, ratio: f64| {
            format!(
                "{name:<18} {program:<18} {cpu:>10.1} {wall:>10.1} {:>10.0} {ratio:>7.2}\n",
                1e6 / wall
            )
        };
        self.talk(&row(scenario.name, "broadway", cpu_ns, wall_ns, ratio))?;
        self.talk(&row(
            "",
            scenario.reference.0,
            reference_cpu_ns,
            reference_wall_ns,
            1.0,
        ))?;
        self.talk(&format!("  {} ({messages} messages)\n", scenario.about))?;
        if self.json {
            let line = Line {
                bench: "kafka",
                scenario: scenario.name,
                cpu_ns: rounded(cpu_ns, 1),
                wall_ns: rounded(wall_ns, 1),
                reference: scenario.reference.0,
                reference_cpu_ns: rounded(reference_cpu_ns, 1),
                reference_wall_ns: rounded(reference_wall_ns, 1),
                ratio: rounded(ratio, 2),
                rounds: self.rounds,
            };
            writeln!(stdout(), "{}", serde_json::to_string(&line)?)?;
        }
        Ok(())
    }

    /// Talk for people: on stdout, unless stdout carries the data.
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
