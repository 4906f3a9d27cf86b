//! The output, as a table and as JSON.

use std::io::{Write, stderr, stdout};

use serde::Serialize;

use crate::BoxError;
use crate::args::Options;
use crate::child::{Sample, Spent};
use crate::programs::Program;
use crate::scenarios::Scenario;

/// Prints the scenarios one by one.
pub(crate) struct Report {
    json: bool,
    rounds: usize,
}

/// A program and its rounds.
pub(crate) struct Row<'a> {
    pub(crate) program: &'a Program,
    pub(crate) samples: Vec<Sample>,
}

/// The JSON line. Times are per message; the `handled` ones end with the last message, the others with the last commit.
#[derive(Serialize)]
struct Line<'a> {
    bench: &'static str,
    scenario: &'a str,
    program: &'a str,
    cpu_ns: f64,
    cpu_ns_min: f64,
    cpu_ns_max: f64,
    wall_ns: f64,
    wall_ns_min: f64,
    wall_ns_max: f64,
    handled_cpu_ns: f64,
    handled_wall_ns: f64,
    /// The program's CPU time over the CPU time of the first program.
    cpu_times: f64,
    committed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_kib: Option<u64>,
    messages: u64,
    rounds: usize,
}

impl Report {
    pub(crate) fn begin(options: &Options) -> Result<Self, BoxError> {
        let report = Self {
            json: options.json,
            rounds: options.rounds,
        };
        report.talk(&format!(
            "Medians (least–most) of {} interleaved rounds, each in a process of its own, from the first message to the last\n\
             commit. CPU is user + system of the process; \"x\" is its ratio to the scenario's first program.\n",
            options.rounds
        ))?;
        Ok(report)
    }

    /// Prints a scenario.
    ///
    /// # Errors
    ///
    /// Fails if the output cannot be written.
    pub(crate) fn scenario(
        &self,
        scenario: &Scenario,
        messages: u64,
        rows: &[Row<'_>],
    ) -> Result<(), BoxError> {
        self.talk(&format!(
            "\n{}: {} ({messages} messages)\n{:<24}{:>26}{:>6}{:>28}{:>9}{:>10}{:>10}  notes\n",
            scenario.name,
            scenario.about,
            "program",
            "CPU ns/msg",
            "x",
            "wall ns/msg",
            "kmsg/s",
            "handled",
            "peak MiB",
        ))?;
        let mut first = None;
        for row in rows {
            let mut line = line(scenario, row, messages, self.rounds);
            line.cpu_times = line.cpu_ns / *first.get_or_insert(line.cpu_ns);
            self.row(row, &line)?;
        }
        Ok(())
    }

    fn row(&self, row: &Row<'_>, line: &Line<'_>) -> Result<(), BoxError> {
        let span =
            |middle: f64, least: f64, most: f64| format!("{middle:.0} ({least:.0}–{most:.0})");
        let mut notes = vec![row.program.about];
        if !line.committed {
            notes.push("commits nothing");
        }
        match line.ordered {
            Some(true) => notes.push("keys in order"),
            Some(false) => notes.push("keys NOT in order"),
            None => {}
        }
        let peak = line
            .peak_rss_kib
            .map_or_else(String::new, |kib| (kib / 1024).to_string());
        self.talk(&format!(
            "{:<24}{:>26}{:>6.2}{:>28}{:>9.0}{:>10.0}{:>10}  {}\n",
            line.program,
            span(line.cpu_ns, line.cpu_ns_min, line.cpu_ns_max),
            line.cpu_times,
            span(line.wall_ns, line.wall_ns_min, line.wall_ns_max),
            1e6 / line.wall_ns,
            line.handled_wall_ns,
            peak,
            notes.join("; "),
        ))?;
        if self.json {
            writeln!(stdout(), "{}", serde_json::to_string(line)?)?;
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

fn line<'a>(scenario: &'a Scenario, row: &Row<'a>, messages: u64, rounds: usize) -> Line<'a> {
    let per_message = |of: fn(&Sample) -> u64| {
        let each = row.samples.iter().map(of);
        Spread::of(each.map(|ns| ns as f64 / messages as f64).collect())
    };
    let (cpu, wall) = (
        per_message(|sample| sample.total.cpu_ns),
        per_message(|sample| sample.total.wall_ns),
    );
    let handled = |of: fn(&Spent) -> u64| {
        let each = row.samples.iter().map(|sample| of(&sample.handled));
        Spread::of(each.map(|ns| ns as f64 / messages as f64).collect()).middle
    };
    let ordered = row.samples.iter().filter_map(|sample| sample.is_ordered);
    Line {
        bench: "peers",
        scenario: scenario.name,
        program: row.program.name,
        cpu_ns: cpu.middle,
        cpu_ns_min: cpu.least,
        cpu_ns_max: cpu.most,
        wall_ns: wall.middle,
        wall_ns_min: wall.least,
        wall_ns_max: wall.most,
        handled_cpu_ns: handled(|spent| spent.cpu_ns),
        handled_wall_ns: handled(|spent| spent.wall_ns),
        cpu_times: 1.0,
        committed: row.samples.iter().all(|sample| sample.is_committed),
        ordered: ordered.reduce(|all, one| all && one),
        peak_rss_kib: row
            .samples
            .iter()
            .filter_map(|sample| sample.peak_rss_kib)
            .max(),
        messages,
        rounds,
    }
}

/// The median and the extremes.
struct Spread {
    least: f64,
    middle: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        let rounded = |value: f64| (value * 10.0).round() / 10.0;
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        Self {
            least: rounded(values[0]),
            middle: rounded(f64::midpoint(values[last / 2], values[last.div_ceil(2)])),
            most: rounded(values[last]),
        }
    }
}
