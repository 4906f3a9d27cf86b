//! The output: a table, and JSON or the rows of a document.
//!
//! The table shows every program that ran. A JSON line and a row of the document compare ours with its reference. Fields that were
//! not measured are omitted.

use std::io::{Write, stderr, stdout};

use serde::Serialize;

use super::BoxError;
use super::args::Output;
use super::measure::{Figure, Rounds};
use super::scenario::{Role, Scenario};

/// Prints figures as they become available.
pub(crate) struct Report {
    bench: &'static str,
    output: Output,
    rounds: usize,
}

/// Times are per message, in ns: the median, and the lowest and highest round. Ratios are the other program's CPU time over ours.
#[derive(Serialize)]
struct Line<'a> {
    bench: &'static str,
    scenario: &'a str,
    messages: u64,
    rounds: usize,
    cpu_ns: f64,
    cpu_ns_min: f64,
    cpu_ns_max: f64,
    wall_ns: f64,
    /// The competing program with the lowest CPU time.
    #[serde(flatten)]
    reference: Option<Reference>,
    /// The ratio that we want to reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    /// The program that hands its batches to tasks, as we do.
    #[serde(flatten)]
    handover: Option<HandOver>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocs_per_message: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_rss_kib: Option<u64>,
}

#[derive(Serialize)]
struct Reference {
    reference: &'static str,
    reference_cpu_ns: f64,
    reference_cpu_ns_min: f64,
    reference_cpu_ns_max: f64,
    ratio: f64,
    ratio_min: f64,
    ratio_max: f64,
}

#[derive(Serialize)]
struct HandOver {
    handover: &'static str,
    handover_cpu_ns: f64,
    handover_ratio: f64,
}

impl Report {
    /// Prints the heads of the tables.
    ///
    /// # Errors
    ///
    /// Fails if the output is closed.
    pub(crate) fn begin(
        bench: &'static str,
        output: Output,
        rounds: usize,
    ) -> Result<Self, BoxError> {
        let report = Self {
            bench,
            output,
            rounds,
        };
        report.talk(&format!(
            "Medians of {rounds} interleaved rounds on 2 worker threads. CPU is user + system.\n\
             `ratio` is the program's CPU time over ours: above 1 we are cheaper. `*` is the reference.\n\
             {}\n\n\
             {:<22} {:<11} {:>10} {:>17} {:>10} {:>10} {:>8} {:>10} {:>7}\n\
             {:<22} {:<11} {:>10} {:>17} {:>10} {:>10} {:>8} {:>10} {:>7}\n",
            machine(),
            "program", "role", "CPU", "min–max", "wall", "rate", "allocs", "peak RSS", "ratio",
            "", "", "ns/msg", "ns/msg", "ns/msg", "kmsg/s", "per msg", "KiB", "",
        ))?;
        if output == Output::Markdown {
            writeln!(stdout(), "{MARKDOWN_HEAD}")?;
        }
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
        let ours = with_role(figures, Role::Ours)
            .next()
            .expect("every scenario has a program of ours");
        let reference = with_role(figures, Role::Competing)
            .min_by(|left, right| left.cpu_ns.median().total_cmp(&right.cpu_ns.median()));
        let hand_over = with_role(figures, Role::HandOver).next();
        self.talk(&format!(
            "{}: {} ({messages} messages)\n",
            scenario.name, scenario.about
        ))?;
        for figure in figures {
            let is_reference = reference.is_some_and(|best| std::ptr::eq(best, figure));
            self.talk(&row(figure, is_reference, ours))?;
        }
        self.talk("\n")?;
        match self.output {
            Output::Table => {}
            Output::Json => {
                let line = self.line(scenario, messages, ours, reference, hand_over);
                writeln!(stdout(), "{}", serde_json::to_string(&line)?)?;
            }
            Output::Markdown => {
                let row = markdown_row(scenario, ours, reference, hand_over);
                writeln!(stdout(), "{row}")?;
            }
        }
        Ok(())
    }

    fn line<'a>(
        &self,
        scenario: &'a Scenario,
        messages: u64,
        ours: &Figure,
        reference: Option<&Figure>,
        hand_over: Option<&Figure>,
    ) -> Line<'a> {
        let (cpu_ns_min, cpu_ns_max) = ours.cpu_ns.range();
        Line {
            bench: self.bench,
            scenario: scenario.name,
            messages,
            rounds: self.rounds,
            cpu_ns: rounded(ours.cpu_ns.median(), 1),
            cpu_ns_min: rounded(cpu_ns_min, 1),
            cpu_ns_max: rounded(cpu_ns_max, 1),
            wall_ns: rounded(ours.wall_ns.median(), 1),
            reference: reference.map(|figure| Reference::new(figure, ours)),
            goal: scenario.goal,
            handover: hand_over.map(|figure| HandOver {
                handover: figure.program,
                handover_cpu_ns: rounded(figure.cpu_ns.median(), 1),
                handover_ratio: rounded(ratio(figure, ours), 2),
            }),
            allocs_per_message: ours
                .memory
                .map(|memory| rounded(memory.allocs_per_message, 3)),
            peak_rss_kib: ours.memory.and_then(|memory| memory.peak_rss_kib),
        }
    }

    /// Prints text for people: on stdout, unless stdout carries JSON or rows.
    fn talk(&self, text: &str) -> Result<(), BoxError> {
        if self.output == Output::Table {
            stdout().write_all(text.as_bytes())?;
        } else {
            stderr().write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

impl Reference {
    fn new(figure: &Figure, ours: &Figure) -> Self {
        let (cpu_ns_min, cpu_ns_max) = figure.cpu_ns.range();
        let (ratio_min, ratio_max) = figure.cpu_ns.over(&ours.cpu_ns).range();
        Self {
            reference: figure.program,
            reference_cpu_ns: rounded(figure.cpu_ns.median(), 1),
            reference_cpu_ns_min: rounded(cpu_ns_min, 1),
            reference_cpu_ns_max: rounded(cpu_ns_max, 1),
            ratio: rounded(ratio(figure, ours), 2),
            ratio_min: rounded(ratio_min, 2),
            ratio_max: rounded(ratio_max, 2),
        }
    }
}

fn with_role(figures: &[Figure], role: Role) -> impl Iterator<Item = &Figure> {
    figures.iter().filter(move |figure| figure.role == role)
}

/// The other program's CPU time over ours.
fn ratio(other: &Figure, ours: &Figure) -> f64 {
    other.cpu_ns.median() / ours.cpu_ns.median()
}

fn row(figure: &Figure, is_reference: bool, ours: &Figure) -> String {
    let role = match figure.role {
        Role::Ours => "ours",
        Role::Competing if is_reference => "competes *",
        Role::Competing => "competes",
        Role::HandOver => "hands over",
        Role::ForScale => "for scale",
    };
    let allocs = figure
        .memory
        .map(|memory| format!("{:.3}", memory.allocs_per_message));
    let peak = figure
        .memory
        .and_then(|memory| memory.peak_rss_kib)
        .map(|kib| kib.to_string());
    let (low, high) = figure.cpu_ns.range();
    format!(
        "  {:<20} {:<11} {:>10.1} {:>17} {:>10.1} {:>10.0} {:>8} {:>10} {:>7.2}\n",
        figure.program,
        role,
        figure.cpu_ns.median(),
        format!("{low:.1}–{high:.1}"),
        figure.wall_ns.median(),
        1e6 / figure.wall_ns.median(),
        allocs.unwrap_or_default(),
        peak.unwrap_or_default(),
        ratio(figure, ours),
    )
}

const MARKDOWN_HEAD: &str = "\
| scenario | ours, CPU ns | reference | its CPU ns | ratio | goal | ratio with hand-over |
|---|---|---|---|---|---|---|";

/// A row of docs/benchmarks.md: medians, with the lowest and the highest round in brackets.
fn markdown_row(
    scenario: &Scenario,
    ours: &Figure,
    reference: Option<&Figure>,
    hand_over: Option<&Figure>,
) -> String {
    let two = |number: f64| format!("{number:.2}");
    let (program, its_time, its_ratio) = reference.map_or_else(Default::default, |figure| {
        let (low, high) = figure.cpu_ns.over(&ours.cpu_ns).range();
        let ratio = ratio(figure, ours);
        let program = format!("`{}`", figure.program);
        let its_ratio = format!("{ratio:.2} ({low:.2}–{high:.2})");
        (program, with_range(&figure.cpu_ns), its_ratio)
    });
    format!(
        "| `{}` | {} | {program} | {its_time} | {its_ratio} | {} | {} |",
        scenario.name,
        with_range(&ours.cpu_ns),
        scenario.goal.map(two).unwrap_or_default(),
        hand_over
            .map(|figure| two(ratio(figure, ours)))
            .unwrap_or_default(),
    )
}

fn with_range(rounds: &Rounds) -> String {
    let (low, high) = rounds.range();
    format!("{:.1} ({low:.1}–{high:.1})", rounds.median())
}

/// The processor of this machine and the number of its cores, as far as the system reports them.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "Machine: {model}, {cores} cores, {}.",
        std::env::consts::ARCH
    )
}

fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}
