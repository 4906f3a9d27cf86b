use super::*;
use crate::{
    batch::BatchKey,
    error::{Callback, Reason},
    telemetry::{Settlement, samples},
};

const SECOND: Duration = Duration::from_secs(1);

fn observe(summary: &Summary, event: &Event<'_>) {
    summary.on_event("orders", event);
}

fn fail(summary: &Summary, text: &str, times: usize) {
    let reason = Reason::error(Callback::HandleMessage, text);
    (0..times).for_each(|_| {
        observe(
            summary,
            &Event::MessageFailed {
                processor: 0,
                reason: &reason,
                affected: samples::affected(1),
            },
        )
    });
}

fn settle(summary: &Summary, done: usize, failed: usize, latencies: &[Duration]) {
    let settlement = Settlement {
        latencies,
        ..samples::settlement(done, failed, 0)
    };
    observe(
        summary,
        &Event::Settled {
            producer: 0,
            settlement,
        },
    );
}

/// A summary of a topology that ran for `seconds`, which `work` tells the rest of.
fn ended_after(seconds: u32, work: impl FnOnce(&Summary)) -> Summary {
    let (summary, start) = (Summary::new(), Instant::now());
    summary.lock().start("orders", start);
    work(&summary);
    summary.lock().end(start + SECOND * seconds);
    summary
}

#[test]
fn every_event_is_heard_and_counted_once() {
    let summary = Summary::new();
    samples::every_event(|event| observe(&summary, event));
    let counts = [
        summary.read(),
        summary.ok(),
        summary.failed(),
        summary.resolved(),
        summary.released(),
        summary.delayed(),
    ];
    assert_eq!(counts, [12, 6, 3, 3, 1, 2]);
    assert_eq!(
        (summary.dropped_unsettled(), summary.ack_failures()),
        (1, 5)
    );
    assert_eq!(summary.batches("events", Trigger::Size), 1);
    assert_eq!(summary.batches("events", Trigger::Drain), 0);
    assert_eq!(summary.batches("others", Trigger::Size), 0);
}

#[test]
fn a_clone_shares_the_counts() {
    let summary = Summary::new();
    observe(
        &summary.clone(),
        &Event::Produced {
            producer: 0,
            count: 3,
            demand: 3,
        },
    );
    assert_eq!(summary.read(), 3);
}

#[test]
fn reasons_are_grouped_by_their_text_the_most_frequent_first() {
    let summary = Summary::new();
    fail(&summary, "no such user", 1);
    fail(&summary, "bad json\nat line 1", 3);
    let reason = samples::panicked(Callback::HandleBatch);
    observe(
        &summary,
        &Event::BatchFailed {
            batcher: "events",
            worker: 0,
            count: 2,
            reason: &reason,
            affected: samples::affected(2),
        },
    );
    let expected = [
        ("handle_message failed: bad json", 3),
        ("handle_batch panicked: index out of bounds", 2),
        ("handle_message failed: no such user", 1),
    ];
    assert_eq!(
        summary.reasons(),
        expected.map(|(text, count)| (text.to_owned(), count))
    );
}

#[test]
fn reasons_beyond_the_limit_are_counted_together() {
    let summary = Summary::new();
    (0..50).for_each(|id| fail(&summary, &format!("row {id} is bad"), 1));
    fail(&summary, "row 0 is bad", 1);
    let reasons = summary.reasons();
    assert_eq!(reasons.len(), Summary::REASONS_MAX + 1);
    assert_eq!(
        reasons[0],
        ("handle_message failed: row 0 is bad".to_owned(), 2)
    );
    assert_eq!(reasons[Summary::REASONS_MAX], ("other".to_owned(), 30));
}

#[test]
fn throughput_is_what_was_settled_from_the_start_to_the_end() {
    let summary = ended_after(4, |summary| settle(summary, 300, 100, &[]));
    assert_eq!(summary.elapsed(), SECOND * 4);
    assert_eq!(summary.throughput(), 100.0);
    assert_eq!(Summary::new().throughput(), 0.0);
}

#[test]
fn latencies_are_told_as_quantiles_to_a_hundredth() {
    let summary = Summary::new();
    assert!(summary.wants_latency());
    assert_eq!(summary.latency(0.5), None);
    let latencies: Vec<_> = (1..=1000).map(Duration::from_millis).collect();
    settle(&summary, 1000, 0, &latencies);
    for (quantile, expected) in [(0.5, 0.5), (0.99, 0.99)] {
        let found = summary
            .latency(quantile)
            .expect("messages were settled")
            .as_secs_f64();
        assert!(
            (found / expected - 1.0).abs() < 0.011,
            "{quantile}: {found}"
        );
    }
}

#[test]
fn a_latency_beyond_the_histogram_counts_as_its_highest() {
    let summary = Summary::new();
    settle(&summary, 1, 0, &[Duration::MAX]);
    let found = summary.latency(0.5).expect("a message was settled");
    assert!(
        found >= SECOND * 3600 && found < SECOND * 3600 * 2,
        "{found:?}"
    );
}

#[test]
fn progress_tells_the_time_since_the_line_before() {
    let summary = Summary::new();
    let start = Instant::now();
    summary.lock().start("orders", start);
    settle(&summary, 90, 10, &[SECOND; 100]);
    let first = summary.lock().progress(start + SECOND * 2);
    assert_eq!((first.settled, first.rate, first.failed), (100, 50.0, 10));
    assert!(first.p99.is_some_and(|p99| p99 >= SECOND));

    settle(&summary, 30, 0, &[Duration::from_millis(1); 30]);
    let second = summary.lock().progress(start + SECOND * 3);
    assert_eq!(
        (second.settled, second.rate, second.failed),
        (130, 30.0, 10)
    );
    assert!(second.p99.is_some_and(|p99| p99 < SECOND));
    assert_eq!(summary.lock().progress(start + SECOND * 4).p99, None);
    assert!(
        summary.latency(0.99).is_some_and(|p99| p99 >= SECOND),
        "all are kept for the end"
    );
}

#[test]
fn a_line_of_progress_reads_well() {
    let p99 = Some(Duration::from_micros(8_400));
    let progress = counts::ProgressSnapshot {
        settled: 1_204_511,
        rate: 80_644.6,
        resolved: 0,
        failed: 12,
        p99,
    };
    assert_eq!(
        table::progress_line(&progress),
        "1,204,511 messages  80,645 msg/s  12 failed  p99 8.4 ms"
    );
    assert_eq!(
        Summary::new().progress_line(),
        "0 messages  0 msg/s  0 failed  p99 -"
    );
}

#[test]
fn the_closing_table_is_aligned() {
    let summary = ended_after(10, |summary| {
        observe(
            summary,
            &Event::Produced {
                producer: 0,
                count: 1_000_000,
                demand: 1_000_000,
            },
        );
        fail(summary, "bad json", 1500);
        settle(summary, 998_000, 2_000, &[Duration::from_millis(4)]);
        let (key, trigger) = (BatchKey::None, Trigger::Timeout);
        observe(
            summary,
            &Event::BatchReady {
                batcher: "events",
                key: &key,
                trigger,
                count: 1200,
                bytes: 0,
            },
        );
        observe(summary, &Event::DroppedUnsettled { count: 7 });
    });
    let expected = "\
pipeline orders, ended after 10.00 s
  read                           1,000,000
  ok                               998,000  99.8 %
  failed                             2,000  0.2 %
  dropped unsettled                      7  will be delivered again
  throughput                       100,000  msg/s
  latency p50                       4.0 ms
  latency p99                       4.0 ms

  failed because                                                      messages
  handle_message failed: bad json                                        1,500
  (no reason given)                                                        500

  batches of                        by                 batches        messages
  events                            timeout                  1           1,200";
    assert_eq!(summary.to_string(), expected);
}

#[test]
fn no_line_of_the_table_is_wider_than_80_columns() {
    let summary = Summary::new();
    summary.lock().start(&"p".repeat(200), Instant::now());
    samples::every_event(|event| observe(&summary, event));
    fail(&summary, &"long ".repeat(100), 1);
    let (key, trigger, count) = (BatchKey::None, Trigger::Size, 1_000_000_000);
    let batcher = "a_batcher_with_a_name_that_nobody_would_ever_type_twice";
    observe(
        &summary,
        &Event::BatchReady {
            batcher,
            key: &key,
            trigger,
            count,
            bytes: 0,
        },
    );
    for line in summary.to_string().lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn numbers_and_durations_and_shares_read_well() {
    let numbers = [0, 999, 1_000, 12_345_678].map(table::thousands);
    assert_eq!(numbers, ["0", "999", "1,000", "12,345,678"]);
    let durations = [12, 999_960, 1_500_000, 61_400_000]
        .map(Duration::from_micros)
        .map(table::human);
    assert_eq!(durations, ["12 µs", "1.00 s", "1.50 s", "1 min 01 s"]);
    let shares = [(0, 0), (0, 9), (1, 9_999), (9_998, 9_999), (9, 9)]
        .map(|(part, whole)| table::percent(part, whole));
    assert_eq!(shares, ["", "0.0 %", "< 0.1 %", "> 99.9 %", "100.0 %"]);
}
