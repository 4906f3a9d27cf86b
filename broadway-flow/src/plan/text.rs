//! A plan as a list, with counts in columns.

use std::{
    fmt::{self, Write},
    slice,
};

use super::{Counts, OperatorReport, Plan, PlanNode, operator_line, sources_line};
use crate::readable::{count, elapsed, thousands};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = Columns::of(self);
        let mut reports = self.counts.as_ref().map(|counts| counts.operators.iter());
        for (index, node) in self.nodes.iter().enumerate() {
            match node {
                PlanNode::Sources { info, n } => {
                    writeln!(f, "{}. source: {}", index + 1, sources_line(info, *n))?;
                }
                PlanNode::Segment {
                    boundary,
                    workers,
                    inputs,
                    operators,
                } => {
                    let way = way(boundary, inputs, index);
                    writeln!(
                        f,
                        "{}. {way}{}",
                        index + 1,
                        count(*workers as u64, "worker")
                    )?;
                    for info in operators {
                        let report = reports.as_mut().and_then(slice::Iter::next);
                        let line = columns.line(&operator_line(info), report);
                        writeln!(f, "   - {}", line.trim_end())?;
                    }
                }
            }
        }
        match &self.counts {
            Some(counts) => writeln!(f, "total: {}", total_line(counts)),
            None => Ok(()),
        }
    }
}

/// How events come to a segment, unless it is obvious.
fn way(boundary: &str, inputs: &[usize], index: usize) -> String {
    // The segment before is the only input of most.
    let is_obvious = matches!(inputs, [input] if input + 1 == index);
    match (boundary, is_obvious) {
        ("source", true) => String::new(),
        ("source", false) => format!("from {}, ", list(inputs)),
        (boundary, true) => format!("{boundary}, "),
        (boundary, false) => format!("{boundary} of {}, ", list(inputs)),
    }
}

/// `1, 2 and 3`.
fn list(inputs: &[usize]) -> String {
    let numbers: Vec<_> = inputs.iter().map(|index| (index + 1).to_string()).collect();
    match &*numbers {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        numbers => numbers.concat(),
    }
}

/// What the whole flow has done: `100,000 events read in 1.25 s, 19.8 ms in operators`.
pub(super) fn total_line(counts: &Counts) -> String {
    let progress = &counts.progress;
    let read = match progress.total == Some(progress.done) {
        true => progress.unit.amount(progress.done),
        false => progress.amount(),
    };
    let mut line = format!("{read} read in {}", elapsed(counts.elapsed));
    let time = counts.operators.iter().map(OperatorReport::time).sum();
    if time > std::time::Duration::ZERO {
        line += &format!(", {} in operators", elapsed(time));
    }
    let late = counts.operators.iter().map(OperatorReport::late).sum();
    if late > 0 {
        line += &format!(", {} late", thousands(late));
    }
    line
}

/// The widths of the columns behind the operators.
struct Columns {
    operator: usize,
    events: usize,
    time: usize,
}

/// The widest column of operators: longer lines stick out.
const OPERATOR_WIDTH_MAX: usize = 48;

impl Columns {
    fn of(plan: &Plan) -> Self {
        let width = |text: String| text.chars().count();
        let lines = plan.operators().map(|info| width(operator_line(info)));
        let reports = plan.counts.iter().flat_map(|counts| &counts.operators);
        let events = reports
            .clone()
            .map(|report| width(thousands(report.events())));
        Self {
            operator: lines
                .filter(|width| *width <= OPERATOR_WIDTH_MAX)
                .max()
                .unwrap_or(0),
            events: events.max().unwrap_or(0),
            time: reports.map(|report| width(time(report))).max().unwrap_or(0),
        }
    }

    fn line(&self, operator: &str, report: Option<&OperatorReport>) -> String {
        let Some(report) = report else {
            return operator.to_owned();
        };
        let events = thousands(report.events());
        let noun = if report.events() == 1 {
            "event"
        } else {
            "events"
        };
        let mut line = format!(
            "{operator:<0$}  {events:>1$} {noun:<6}",
            self.operator, self.events
        );
        if self.time > 0 {
            // Writing to a string does not fail.
            let _ = write!(line, "  {:>1$}", time(report), self.time);
        }
        if report.late() > 0 {
            let _ = write!(line, "  {} late", thousands(report.late()));
        }
        line
    }
}

/// Empty if no time was measured.
fn time(report: &OperatorReport) -> String {
    match report.time().is_zero() {
        true => String::new(),
        false => elapsed(report.time()),
    }
}
