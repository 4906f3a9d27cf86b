//! [`Plan`]: what a flow consists of, as text and as a Mermaid diagram.

mod counts;
mod mermaid;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use counts::Counts;
pub use counts::OperatorReport;

use std::{fmt, sync::Arc};

use crate::{
    graph::{Input, Segment},
    live::ProgressUnit,
    readable::one_line,
    sink::OperatorInfo,
    source::SourceInfo,
};

/// What a flow consists of: its sources, its segments with their workers and operators, and the boundaries between them.
///
/// `Display` writes it as a list, from the sources to the end. A segment reads from the line before it, unless the list names others:
///
/// ```
/// use broadway_flow::Flow;
///
/// let old = Flow::from_iter(0..500).workers(1);
/// let new = Flow::from_iter(0..1_500).workers(2).map(|n| n + 500).named("shift");
/// let flow = old.merge(new).workers(3).filter(|n| n % 2 == 0);
/// let lines = [
///     "1. source: iterator, 500 events",
///     "2. 1 worker",
///     "3. source: iterator, 1,500 events",
///     "4. 2 workers",
///     "   - map \"shift\"",
///     "5. merge of 2 and 4, 3 workers",
///     "   - filter",
/// ];
/// assert_eq!(flow.explain().to_string().lines().collect::<Vec<_>>(), lines);
/// ```
///
/// The plan of a [running flow](crate::RunningFlow::explain) and of a [report](crate::Report::plan) includes how many events each operator has
/// taken, how many of them came too late for its windows, how much time its functions took, estimated from every 1,024th event, and a
/// total. These counts do not change later. The time is the sum of all workers, so it may exceed the time of the run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// From the sources to the end: the inputs of a segment stand before it.
    nodes: Vec<PlanNode>,
    counts: Option<Counts>,
}

#[derive(Debug, Clone)]
enum PlanNode {
    /// Sources of the same kind, of one segment.
    Sources { info: SourceInfo, n: u64 },
    Segment {
        boundary: &'static str,
        workers: usize,
        /// Where its inputs are in the list.
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
            counts: None,
        }
    }

    /// Shows counts, too. They are in the order of [`operators`](Self::operators).
    pub(crate) fn with_counts(self, counts: Counts) -> Self {
        let counts = Some(counts);
        Self { counts, ..self }
    }

    /// All operators, from the sources to the end.
    pub(crate) fn operators(&self) -> impl Iterator<Item = &Arc<OperatorInfo>> {
        self.nodes.iter().flat_map(|node| match node {
            PlanNode::Sources { .. } => &[][..],
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
        self.sources()
            .try_fold(0_u64, |total, info| match info.unit == unit {
                true => total.checked_add(info.total?),
                false => None,
            })
    }

    fn sources(&self) -> impl Iterator<Item = &SourceInfo> {
        self.nodes.iter().filter_map(|node| match node {
            PlanNode::Sources { info, .. } => Some(info),
            PlanNode::Segment { .. } => None,
        })
    }
}

/// Adds a segment behind its inputs. Returns its index.
fn add(segment: &Segment, nodes: &mut Vec<PlanNode>) -> usize {
    let mut inputs = Vec::new();
    for input in &segment.inputs {
        match input {
            Input::Source(source) => {
                let info = source.info();
                let is_new = !inputs.iter().any(|index| joins(&mut nodes[*index], &info));
                if is_new {
                    inputs.push(nodes.len());
                    nodes.push(PlanNode::Sources { info, n: 1 });
                }
            }
            Input::Segment(segment) | Input::Between { segment, .. } => {
                inputs.push(add(segment, nodes));
            }
        }
    }
    nodes.push(PlanNode::Segment {
        boundary: segment.plan.boundary,
        workers: segment.worker_count(),
        inputs,
        operators: segment.plan.operators.clone(),
    });
    nodes.len() - 1
}

/// Adds a source to others of the same kind, so that a hundred iterators are one line. Returns whether it was added.
fn joins(node: &mut PlanNode, more: &SourceInfo) -> bool {
    let PlanNode::Sources { info, n } = node else {
        return false;
    };
    let is_same = (info.kind, &info.detail, info.unit) == (more.kind, &more.detail, more.unit);
    if is_same {
        *n += 1;
        info.total = info
            .total
            .zip(more.total)
            .and_then(|(a, b)| a.checked_add(b));
    }
    is_same
}

/// What sources are, in one line: `iterator × 3, 18 events`.
fn sources_line(info: &SourceInfo, n: u64) -> String {
    let mut line = one_line(&info.to_string());
    if n > 1 {
        line += &format!(" × {n}");
    }
    if let Some(total) = info.total {
        line += &format!(", {}", info.unit.amount(total));
    }
    line
}

/// What an operator is, in one line: `count "per city" (every 10s)`.
fn operator_line(info: &OperatorInfo) -> String {
    match &*info.detail {
        "" => info.to_string(),
        detail => format!("{info} ({})", one_line(detail)),
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

impl fmt::Debug for OperatorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperatorInfo")
            .field("operator", &self.to_string())
            .finish_non_exhaustive()
    }
}
