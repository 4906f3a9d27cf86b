//! The output, as a table and as JSON.
//!
//! The table shows every program that ran. A JSON line compares ours with its reference; fields
//! that were not measured are omitted.

use std::io::{Write, stderr, stdout};

use serde::Serialize;

use super::BoxError;
use super::measure::Figure;
use super::scenario::{Role, Scenario};

/// Prints figures as they become available.
pub(crate) struct Report {
    bench: &'static str,
    json: bool,
    rounds: usize,
}

#[derive(Serialize)]
struct Line<'a> {
    bench: &'static str,
    scenario: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_cpu_ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocs_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_kib: Option<u64>,
    rounds: usize,
}

impl Report {
    /// Prints the head of the table.
    ///
    /// # Errors
    ///
    /// Fails if the output is closed.
    pub(crate) fn begin(bench: &'static str, json: bool, rounds: usize) -> Result<Self, BoxError> {
        let report = Self {
            bench,
            json,
            rounds,
        };
        report.talk(&format!(
            "Medians of {rounds} interleaved rounds on 2 worker threads. CPU is user + system.\n\
             `ratio` is the program's CPU time over ours: above 1 we are cheaper. `*` is the reference.\n\n\
             {:<22} {:<10} {:>10} {:>10} {:>10} {:>8} {:>10} {:>7}\n\
             {:<22} {:<10} {:>10} {:>10} {:>10} {:>8} {:>10} {:>7}\n",
            "program", "role", "CPU", "wall", "rate", "allocs", "peak RSS", "ratio",
            "", "", "ns/msg", "ns/msg", "kmsg/s", "per msg", "KiB", "",
        ))?;
        Ok(report)
    }

    /// Prints one scenario.
    ///
    /// # Errors
    ///
    /// Fails if the output is closed.
    pub(crate) fn scenario(
        &mut self,
        scenario: &Scenario,
        messages: u64,
        figures: &[Figure],
    ) -> Result<(), BoxError> {
        let ours = figures.iter().find(|figure| figure.role == Role::Ours);
        let reference = reference(figures);
        self.talk(&format!(
            "{}: {} ({messages} messages)\n",
            scenario.name, scenario.about
        ))?;
        for figure in figures {
            let is_reference = reference.is_some_and(|best| std::ptr::eq(best, figure));
            self.talk(&row(figure, is_reference, ours))?;
        }
        self.talk("\n")?;
        if self.json {
            let line = self.line(scenario.name, ours, reference);
            writeln!(stdout(), "{}", serde_json::to_string(&line)?)?;
        }
        Ok(())
    }

    fn line<'a>(
        &self,
        scenario: &'a str,
        ours: Option<&Figure>,
        reference: Option<&Figure>,
    ) -> Line<'a> {
        let memory = ours.and_then(|figure| figure.memory);
        Line {
            bench: self.bench,
            scenario,
            cpu_ns: ours.map(|figure| rounded(figure.cpu_ns, 1)),
            wall_ns: ours.map(|figure| rounded(figure.wall_ns, 1)),
            reference: reference.map(|figure| figure.program),
            reference_cpu_ns: reference.map(|figure| rounded(figure.cpu_ns, 1)),
            ratio: ours
                .zip(reference)
                .map(|(ours, reference)| rounded(reference.cpu_ns / ours.cpu_ns, 2)),
            allocs_per_message: memory.map(|memory| rounded(memory.allocs_per_message, 3)),
            peak_rss_kib: memory.and_then(|memory| memory.peak_rss_kib),
            rounds: self.rounds,
        }
    }

    /// Prints text for people: on stdout, unless stdout carries JSON.
    fn talk(&self, text: &str) -> Result<(), BoxError> {
        if self.json {
            stderr().write_all(text.as_bytes())?;
        } else {
            stdout().write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

/// The hand-written program with the lowest CPU time.
fn reference(figures: &[Figure]) -> Option<&Figure> {
    figures
        .iter()
        .filter(|figure| figure.role == Role::ByHand)
        .min_by(|left, right| left.cpu_ns.total_cmp(&right.cpu_ns))
}

fn row(figure: &Figure, is_reference: bool, ours: Option<&Figure>) -> String {
    let role = match figure.role {
        Role::Ours => "ours",
        Role::ByHand if is_reference => "by hand *",
        Role::ByHand => "by hand",
        Role::ForScale => "for scale",
    };
    let allocs = figure
        .memory
        .map(|memory| format!("{:.3}", memory.allocs_per_message));
    let peak = figure
        .memory
        .and_then(|memory| memory.peak_rss_kib)
        .map(|kib| kib.to_string());
    let ratio = ours.map(|ours| format!("{:.2}", figure.cpu_ns / ours.cpu_ns));
    format!(
        "  {:<20} {:<10} {:>10.1} {:>10.1} {:>10.0} {:>8} {:>10} {:>7}\n",
        figure.program,
        role,
        figure.cpu_ns,
        figure.wall_ns,
        1e6 / figure.wall_ns,
        allocs.unwrap_or_default(),
        peak.unwrap_or_default(),
        ratio.unwrap_or_default(),
    )
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
