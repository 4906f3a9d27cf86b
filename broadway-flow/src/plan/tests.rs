//! Plans with counts that are known, so that their texts are exact.

use std::time::Duration;

use super::*;
use crate::{Flow, live::FlowProgress, plan::OperatorReport, source::StartSource};

/// A source that does not run.
struct Fake(SourceInfo);

impl StartSource for Fake {
    fn info(&self) -> SourceInfo {
        self.0.clone()
    }

    fn start(
        self: Box<Self>,
        _targets: usize,
        _state: Arc<crate::live::FlowState>,
    ) -> futures_util::future::BoxFuture<
        'static,
        Result<crate::source::Started, broadway_core::StartError>,
    > {
        unreachable!("only its plan is made")
    }
}

fn fake(detail: &str, total: Option<u64>, unit: ProgressUnit) -> Input {
    Input::Source(Box::new(Fake(SourceInfo {
        is_acked: false,
        kind: "fake",
        detail: detail.to_owned(),
        is_bounded: true,
        total,
        unit,
    })))
}

fn plan_of(inputs: impl IntoIterator<Item = Input>) -> Plan {
    Flow::<u8>::from_inputs(inputs).workers(2).explain()
}

/// A plan whose operators have these numbers of events, nanoseconds and late events.
fn counted(plan: Plan, done: u64, numbers: &[(u64, u64, u64)]) -> Plan {
    let operators = plan
        .operators()
        .zip(numbers)
        .map(|(info, (events, nanos, late))| OperatorReport {
            name: info.to_string(),
            events: *events,
            late: *late,
            time: Duration::from_nanos(*nanos),
        });
    let counts = Counts {
        progress: FlowProgress {
            done,
            total: plan.total(),
            unit: plan.unit(),
            per_second: 0.0,
            share: None,
            left: None,
        },
        elapsed: Duration::from_millis(1_250),
        operators: operators.collect(),
    };
    assert_eq!(counts.operators.len(), numbers.len());
    plan.with_counts(counts)
}

fn words() -> Plan {
    let flow = Flow::from_iter(0..100_000)
        .workers(2)
        .map(|n| n)
        .named("parse")
        .filter(|_| true);
    flow.partition(|n| n % 10).workers(3).count().explain()
}

const WORDS: [(u64, u64, u64); 5] = [
    (100_000, 12_300_000, 0),
    (100_000, 0, 0),
    (950, 1_000_000_000, 0),
    (950, 0, 12),
    (1, 2_345_600, 3_000),
];

#[test]
fn counts_and_times_stand_in_columns() {
    let expected = "\
1. source: iterator, 100,000 events
2. 2 workers
   - map \"parse\"         100,000 events  12.3 ms
   - filter              100,000 events
   - key                     950 events  1.00 s
   - combine                 950 events           12 late
3. partition, 3 workers
   - count (all events)        1 event    2.3 ms  3,000 late
total: 100,000 events read in 1.25 s, 1.01 s in operators, 3,012 late
";
    let text = counted(words(), 100_000, &WORDS).to_string();
    assert_eq!(text, expected.replace("  1.00 s", "   1.00 s"));
}

#[test]
fn a_plan_without_times_and_late_events_has_no_columns_for_them() {
    let text = counted(words(), 5, &[(5, 0, 0); 5]).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[2], "   - map \"parse\"         5 events");
    assert_eq!(lines[8], "total: 5 of 100,000 events read in 1.25 s");
}

#[test]
fn a_chart_has_the_counts_and_the_total() {
    let expected = "\
flowchart TD
  n1([\"iterator, 100,000 events\"])
  n2[\"2 workers<br/>map #quot;parse#quot; · 100,000 events, 12.3 ms<br/>filter · 100,000 events<br/>key · 950 events, 1.00 s\
<br/>combine · 950 events, 12 late\"]
  n1 --> n2
  n3[\"3 workers<br/>count (all events) · 1 event, 2.3 ms, 3,000 late\"]
  n2 -->|partition| n3
  total[\"100,000 events read in 1.25 s, 1.01 s in operators, 3,012 late\"]
";
    assert_eq!(counted(words(), 100_000, &WORDS).mermaid(), expected);
}

#[test]
fn sources_of_the_same_kind_are_one_line() {
    let events = ProgressUnit::Events;
    let plan = plan_of([
        fake("", Some(1), events),
        fake("other", Some(5), events),
        fake("", Some(2), events),
        fake("other", None, events),
        fake("", Some(1), ProgressUnit::Bytes),
    ]);
    let expected = "\
1. source: fake × 2, 3 events
2. source: fake other × 2
3. source: fake, 1 byte
4. from 1, 2 and 3, 2 workers
";
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn a_long_operator_sticks_out_of_its_column() {
    let flow = Flow::from_iter(0..1)
        .workers(1)
        .map(|n| n)
        .named("x".repeat(80))
        .map(|n| n);
    let text = counted(flow.explain(), 1, &[(1, 0, 0), (1, 0, 0)]).to_string();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[2],
        format!("   - map \"{}\"  1 event", "x".repeat(80))
    );
    assert_eq!(lines[3], "   - map  1 event");
}

#[test]
fn files_alone_count_bytes() {
    let files = || fake("", Some(700), ProgressUnit::Bytes);
    let plan = plan_of([files(), files()]);
    assert_eq!(
        (plan.unit(), plan.total()),
        (ProgressUnit::Bytes, Some(1_400))
    );
    let text = counted(plan, 1_400, &[]).to_string();
    assert_eq!(text.lines().last(), Some("total: 1.4 KiB read in 1.25 s"));
}

#[test]
fn files_and_other_sources_have_no_total_together() {
    let plan = plan_of([
        fake("", Some(7), ProgressUnit::Bytes),
        fake("", Some(7), ProgressUnit::Events),
    ]);
    assert_eq!((plan.unit(), plan.total()), (ProgressUnit::Events, None));
    // The sources of a merged flow count, too.
    let files = Flow::<u8>::from_inputs([fake("", Some(7), ProgressUnit::Bytes)]);
    let plan = Flow::from_iter([1_u8]).merge(files).explain();
    assert_eq!((plan.unit(), plan.total()), (ProgressUnit::Events, None));
}

#[test]
fn a_total_that_is_unknown_or_too_large_is_none() {
    let events = ProgressUnit::Events;
    assert_eq!(
        plan_of([fake("", Some(7), events), fake("", None, events)]).total(),
        None
    );
    assert_eq!(
        plan_of([
            fake("a", Some(u64::MAX), events),
            fake("b", Some(1), events)
        ])
        .total(),
        None
    );
    assert_eq!(
        plan_of([fake("", Some(u64::MAX), events), fake("", Some(1), events)]).total(),
        None
    );
}

#[test]
fn a_source_has_one_line_whatever_its_name() {
    let plan = plan_of([fake(
        "a\nb\u{1b}[2J \"]; --> n9 `x`",
        None,
        ProgressUnit::Events,
    )]);
    assert_eq!(
        plan.to_string().lines().next(),
        Some("1. source: fake a\\nb\\u{1b}[2J \"]; --> n9 `x`")
    );
    let chart = plan.mermaid();
    let name = "a#92;nb#92;u#123;1b#125;#91;2J #quot;#93;#59; --#62; n9 #96;x#96;";
    assert_eq!(
        chart.lines().nth(1).unwrap(),
        format!("  n1([\"fake {name}\"])")
    );
}
