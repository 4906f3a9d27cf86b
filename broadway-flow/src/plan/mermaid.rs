//! A plan as a Mermaid flow chart.

use std::{
    fmt::{self, Write},
    slice,
};

use super::{OperatorReport, Plan, PlanNode, operator_line, sources_line, text::total_line};
use crate::{
    readable::{count, elapsed, thousands},
    sink::OperatorInfo,
};

impl Plan {
    /// Returns the plan as a [Mermaid](https://mermaid.js.org) flow chart.
    ///
    /// ```
    /// use broadway_flow::Flow;
    ///
    /// let flow = Flow::from_iter(0..1_000).workers(2).map(|n| n % 7).named("day");
    /// let flow = flow.partition(|day| *day).workers(3).count();
    /// let chart = [
    ///     "flowchart TD",
    ///     "  n1([\"iterator, 1,000 events\"])",
    ///     "  n2[\"2 workers<br/>map #quot;day#quot;<br/>key<br/>combine\"]",
    ///     "  n1 --> n2",
    ///     "  n3[\"3 workers<br/>count (all events)\"]",
    ///     "  n2 -->|partition| n3",
    /// ];
    /// assert_eq!(flow.explain().mermaid().lines().collect::<Vec<_>>(), chart);
    /// ```
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut chart = String::from("flowchart TD\n");
        // Writing to a string does not fail.
        let _ = self.write_mermaid(&mut chart);
        chart
    }

    fn write_mermaid(&self, chart: &mut String) -> fmt::Result {
        let mut reports = self.counts.as_ref().map(|counts| counts.operators.iter());
        for (index, node) in self.nodes.iter().enumerate() {
            let to = index + 1;
            match node {
                PlanNode::Sources { info, n } => {
                    writeln!(chart, "  n{to}([\"{}\"])", escaped(&sources_line(info, *n)))?;
                }
                PlanNode::Segment {
                    boundary,
                    workers,
                    inputs,
                    operators,
                } => {
                    write!(chart, "  n{to}[\"{}", count(*workers as u64, "worker"))?;
                    for info in operators {
                        let report = reports.as_mut().and_then(slice::Iter::next);
                        write!(chart, "<br/>{}", line(info, report))?;
                    }
                    chart.push_str("\"]\n");
                    for input in inputs {
                        let from = input + 1;
                        match *boundary {
                            "source" => writeln!(chart, "  n{from} --> n{to}")?,
                            boundary => writeln!(chart, "  n{from} -->|{boundary}| n{to}")?,
                        }
                    }
                }
            }
        }
        match &self.counts {
            Some(counts) => writeln!(chart, "  total[\"{}\"]", escaped(&total_line(counts))),
            None => Ok(()),
        }
    }
}

fn line(info: &OperatorInfo, report: Option<&OperatorReport>) -> String {
    let mut line = escaped(&operator_line(info));
    if let Some(report) = report {
        line += &format!(" · {}", count(report.events(), "event"));
        if !report.time().is_zero() {
            line += &format!(", {}", elapsed(report.time()));
        }
        if report.late() > 0 {
            line += &format!(", {} late", thousands(report.late()));
        }
    }
    line
}

/// Text within quotes of a chart. Whatever may have a meaning there is a character code: besides quotes and markup of HTML also markup of
/// Markdown and formulas, directives, and `#` and `;`, which enclose codes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '"' => escaped.push_str("#quot;"),
            ' ' | ',' | '.' | '-' | '_' | '/' | '(' | ')' | '×' => escaped.push(char),
            char if char.is_alphanumeric() => escaped.push(char),
            char => escaped.push_str(&format!("#{};", u32::from(char))),
        }
    }
    escaped
}
