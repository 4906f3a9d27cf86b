//! [`Plan`]: what a flow consists of, as text and as a Mermaid diagram.

use std::{
    fmt::{self, Write},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use crate::{
    graph::{Input, Segment},
    run::ProgressUnit,
    sink::OperatorInfo,
    source::SourceInfo,
};

/// What a flow consists of: its sources, its segments with their workers and operators, and the boundaries between them.
///
/// `Display` writes it as text, one line for each part, from the sources to the end. While the flow runs and afterwards it includes how many events each
/// operator has taken, and how much time its functions took, estimated from every 1,024th event.
#[derive(Debug, Clone)]
pub struct Plan {
    nodes: Vec<PlanNode>,
    /// Whether counts are shown.
    has_run: bool,
}

#[derive(Debug, Clone)]
enum PlanNode {
    Source {
        info: SourceInfo,
    },
    Segment {
        boundary: &'static str,
        workers: usize,
        inputs: Vec<usize>,
        operators: Vec<Arc<OperatorInfo>>,
    },
}

impl Plan {
    pub(crate) fn of(last: &Segment) -> Self {
        let mut nodes = Vec::new();
        add(last, &mut nodes);
        Self {
            nodes,
            has_run: false,
        }
    }

    /// Shows counts, too.
    pub(crate) fn with_counts(self) -> Self {
        Self {
            has_run: true,
            ..self
        }
    }

    /// All operators, from the sources to the end.
    pub(crate) fn operators(&self) -> impl Iterator<Item = &Arc<OperatorInfo>> {
        self.nodes.iter().flat_map(|node| match node {
            PlanNode::Source { .. } => &[][..],
            PlanNode::Segment { operators, .. } => operators,
        })
    }

    /// What all sources count together: bytes, if all of them are files.
    pub(crate) fn unit(&self) -> ProgressUnit {
        let mut units = self.sources().map(|info| info.unit);
        match units.all(|unit| unit == ProgressUnit::Bytes) {
            true => ProgressUnit::Bytes,
            false => ProgressUnit::Events,
        }
    }

    /// How much all sources will count together, if each of them knows it and counts in the same unit.
    pub(crate) fn total(&self) -> Option<u64> {
        let unit = self.unit();
        self.sources().try_fold(0_u64, |total, info| match info.unit == unit {
            true => total.checked_add(info.total?),
            false => None,
        })
    }

    fn sources(&self) -> impl Iterator<Item = &SourceInfo> {
        self.nodes.iter().filter_map(|node| match node {
            PlanNode::Source { info } => Some(info),
            PlanNode::Segment { .. } => None,
        })
    }

    /// Returns the plan as a [Mermaid](https://mermaid.js.org) flow chart.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = String::from("flowchart TD\n");
        for (index, node) in self.nodes.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = self.write_mermaid(&mut text, index, node);
        }
        text
    }

    fn write_mermaid(&self, out: &mut String, index: usize, node: &PlanNode) -> fmt::Result {
        match node {
            PlanNode::Source { info } => {
                writeln!(out, "  n{index}([\"{}\"])", escaped(&info.to_string()))
            }
            PlanNode::Segment {
                boundary,
                workers,
                inputs,
                operators,
            } => {
                let lines = operators.iter().map(|info| self.line(info));
                let lines: Vec<String> = lines.map(|line| escaped(&line)).collect();
                let body = match lines.is_empty() {
                    true => String::new(),
                    false => format!("<br/>{}", lines.join("<br/>")),
                };
                writeln!(out, "  n{index}[\"{}{body}\"]", count(*workers, "worker"))?;
                for input in inputs {
                    writeln!(out, "  n{input} -->|{boundary}| n{index}")?;
                }
                Ok(())
            }
        }
    }

    fn line(&self, info: &OperatorInfo) -> String {
        let mut line = info.to_string();
        if !info.detail.is_empty() {
            let _ = write!(line, " ({})", info.detail);
        }
        if self.has_run {
            let _ = write!(line, ": {} events", info.events.load(Relaxed));
            let time = Duration::from_nanos(info.nanos());
            if !time.is_zero() {
                let _ = write!(line, ", {:.1} ms", time.as_secs_f64() * 1_000.0);
            }
            let late = info.late.load(Relaxed);
            if late > 0 {
                let _ = write!(line, ", {late} late");
            }
        }
        line
    }
}

/// Adds a segment behind its inputs. Returns its index.
fn add(segment: &Segment, nodes: &mut Vec<PlanNode>) -> usize {
    let mut inputs = Vec::new();
    for input in &segment.inputs {
        inputs.push(match input {
            Input::Source(source) => {
                nodes.push(PlanNode::Source {
                    info: source.info(),
                });
                nodes.len() - 1
            }
            Input::Segment(segment) => add(segment, nodes),
        });
    }
    nodes.push(PlanNode::Segment {
        boundary: segment.plan.boundary,
        workers: segment.worker_count(),
        inputs,
        operators: segment.plan.operators.clone(),
    });
    nodes.len() - 1
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            match node {
                PlanNode::Source { info } => writeln!(f, "{index}. source: {info}")?,
                PlanNode::Segment {
                    boundary,
                    workers,
                    inputs,
                    operators,
                } => {
                    let from: Vec<String> = inputs.iter().map(ToString::to_string).collect();
                    let workers = count(*workers, "worker");
                    writeln!(f, "{index}. {boundary} from {}: {workers}", from.join(", "))?;
                    for info in operators {
                        writeln!(f, "   - {}", self.line(info))?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for SourceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if !self.detail.is_empty() {
            write!(f, " {}", self.detail)?;
        }
        Ok(())
    }
}

fn count(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

/// Text within quotes of a Mermaid diagram.
fn escaped(text: &str) -> String {
    text.replace('"', "#quot;")
}

impl fmt::Debug for OperatorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorInfo")
            .field("operator", &self.to_string())
            .finish_non_exhaustive()
    }
}
