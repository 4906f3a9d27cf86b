mod stages;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use ::metrics::{SharedString, Unit, with_local_recorder};
use metrics_util::{
    MetricKind,
    debugging::{DebugValue, DebuggingRecorder},
};

use super::{
    catalog::{ALL, InstrumentKind, Metric},
    *,
};
use crate::telemetry::{DrainCause, Settlement, samples};

/// What the recorder has: by name, and by labels written as in Prometheus.
type Recorded = BTreeMap<String, Series>;

#[derive(Debug)]
struct Series {
    kind: MetricKind,
    unit: Option<Unit>,
    help: Option<SharedString>,
    labels: BTreeSet<String>,
    values: BTreeMap<String, Vec<f64>>,
}

fn recorded_by(observer: &MetricsObserver, tell: impl FnOnce(&dyn Fn(&Event<'_>))) -> Recorded {
    let recorder = DebuggingRecorder::new();
    with_local_recorder(&recorder, || {
        tell(&|event| observer.on_event("orders", event))
    });
    let mut recorded = Recorded::new();
    for (key, unit, help, value) in recorder.snapshotter().snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let series = recorded.entry(key.name().to_owned()).or_insert_with(|| {
            let labels = key.labels().map(|label| label.key().to_owned()).collect();
            Series {
                kind,
                unit,
                help,
                labels,
                values: BTreeMap::new(),
            }
        });
        let labels = key.labels().filter(|label| label.key() != "pipeline");
        let labels: Vec<_> = labels.map(|label| label.value().to_owned()).collect();
        let values = match value {
            DebugValue::Counter(count) => vec![count as f64],
            DebugValue::Gauge(value) => vec![*value],
            DebugValue::Histogram(values) => values.into_iter().map(|value| *value).collect(),
        };
        series.values.insert(labels.join(" "), values);
    }
    recorded
}

#[track_caller]
fn check(recorded: &Recorded, name: &str, labels: &str, values: &[f64]) {
    assert_eq!(
        recorded[name].values.get(labels).map(Vec::as_slice),
        Some(values),
        "{name} of {labels:?}"
    );
}

fn every_event(observer: &MetricsObserver) -> Recorded {
    recorded_by(observer, |hear| samples::every_event(hear))
}

#[test]
fn every_metric_of_the_catalog_is_recorded_as_it_says_and_no_other() {
    let recorded = every_event(&MetricsObserver::new().with_latency());
    let names: BTreeSet<_> = recorded.keys().map(String::as_str).collect();
    assert_eq!(names, ALL.iter().map(|metric| metric.name).collect());
    for Metric {
        name,
        kind,
        unit,
        labels,
        help,
    } in ALL
    {
        let series = &recorded[*name];
        let kind = match kind {
            InstrumentKind::Counter => MetricKind::Counter,
            InstrumentKind::Gauge => MetricKind::Gauge,
            InstrumentKind::Histogram => MetricKind::Histogram,
        };
        assert_eq!(
            (series.kind, series.unit, series.help.as_deref()),
            (kind, Some(*unit), Some(*help)),
            "{name}"
        );
        assert_eq!(
            series.labels,
            labels.iter().map(|&label| label.to_owned()).collect(),
            "{name}"
        );
    }
}

#[test]
fn the_table_in_the_docs_is_the_catalog() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    if !docs.exists() {
        // The package by itself, without the repository.
        return;
    }
    let docs =
        fs::read_to_string(docs.join("telemetry.md")).expect("the page is in the repository");
    let written: Vec<_> = docs
        .lines()
        .filter(|line| line.starts_with("| `broadway_"))
        .collect();
    let expected: Vec<_> = ALL.iter().map(row).collect();
    assert_eq!(
        written,
        expected,
        "the table should be:\n{}",
        expected.join("\n")
    );
}

fn row(
    Metric {
        name,
        kind,
        unit,
        labels,
        help,
    }: &Metric,
) -> String {
    let (kind, labels) = (format!("{kind:?}").to_lowercase(), labels.join(", "));
    format!(
        "| `{name}` | {kind} | {} | {labels} | {help} |",
        unit.as_str()
    )
}

#[test]
fn keys_of_messages_are_never_labels() {
    let recorded = every_event(&MetricsObserver::new());
    assert!(!format!("{recorded:?}").contains(samples::SECRET_KEY));
}

#[test]
fn stages_count_their_messages_by_result() {
    let recorded = every_event(&MetricsObserver::new());
    check(
        &recorded,
        "broadway_messages_total",
        "processors ok",
        &[1.0],
    );
    check(
        &recorded,
        "broadway_messages_total",
        "processors forwarded",
        &[5.0],
    );
    check(
        &recorded,
        "broadway_messages_total",
        "batcher:events ok",
        &[4.0],
    );
    check(
        &recorded,
        "broadway_batch_flush_total",
        "events size",
        &[1.0],
    );
    check(&recorded, "broadway_batch_size", "events", &[5.0]);
    check(&recorded, "broadway_settled_total", "0 ok", &[5.0]);
    check(&recorded, "broadway_settled_total", "0 delayed", &[2.0]);
    check(
        &recorded,
        "broadway_handler_panics_total",
        "handle_batch",
        &[2.0],
    );
}

#[test]
fn in_flight_is_what_was_produced_and_not_settled_and_0_after_the_end() {
    let observer = MetricsObserver::new();
    let recorded = recorded_by(&observer, |hear| {
        hear(&Event::Produced {
            producer: 0,
            count: 10,
            demand: 10,
        });
        hear(&Event::Settled {
            producer: 0,
            settlement: Settlement {
                delayed: 1,
                ..samples::settlement(3, 2, 1)
            },
        });
    });
    check(&recorded, "broadway_in_flight", "", &[3.0]);
    check(
        &every_event(&MetricsObserver::new()),
        "broadway_in_flight",
        "",
        &[0.0],
    );
}

#[test]
fn latencies_are_recorded_only_when_asked_for() {
    let (quiet, asked) = (
        MetricsObserver::new(),
        MetricsObserver::new().with_latency(),
    );
    assert!(!quiet.wants_latency() && asked.wants_latency());
    check(
        &every_event(&asked),
        "broadway_end_to_end_seconds",
        "",
        &[0.003, 0.005],
    );
    let recorded = every_event(&quiet);
    let series = recorded.get("broadway_end_to_end_seconds");
    assert!(series.is_none_or(|series| series.values.values().all(Vec::is_empty)));
}

#[test]
fn waits_shorter_than_a_second_add_up() {
    let recorded = recorded_by(&MetricsObserver::new(), |hear| {
        for _ in 0..5 {
            hear(&Event::RateLimited {
                producer: 2,
                held: 1,
                wait: Duration::from_millis(500),
            });
        }
    });
    check(
        &recorded,
        "broadway_rate_limited_seconds_total",
        "2",
        &[2.0],
    );
}

#[test]
fn a_halted_part_is_told_until_it_is_committed_past_its_failure() {
    let halted = |position: i64| {
        let part = "orders[3]";
        let recorded = recorded_by(&MetricsObserver::new(), |hear| {
            hear(&Event::Halted {
                producer: 0,
                part,
                position: 12,
                reason: "refused",
            });
            hear(&Event::Committed {
                producer: 0,
                part,
                position,
            });
        });
        recorded["broadway_source_halted"].values[part][0]
    };
    assert_eq!(halted(12), 1.0);
    assert_eq!(halted(13), 0.0);
}

#[test]
fn a_part_that_is_not_ours_has_no_lag() {
    let part = "orders[3]";
    let recorded = recorded_by(&MetricsObserver::new(), |hear| {
        hear(&Event::Assigned {
            producer: 0,
            part,
            position: None,
        });
        hear(&Event::Lag {
            producer: 0,
            part,
            messages: Some(90),
            oldest: Some(Duration::from_secs(7)),
        });
        hear(&Event::Revoked {
            producer: 0,
            part,
            settled: true,
            repeats: 0,
        });
        hear(&Event::Revoked {
            producer: 0,
            part,
            settled: true,
            repeats: 0,
        });
    });
    check(&recorded, "broadway_source_lag", part, &[0.0]);
    check(&recorded, "broadway_source_oldest_seconds", part, &[0.0]);
    check(&recorded, "broadway_source_parts", "", &[0.0]);
}

#[test]
fn an_unknown_lag_is_not_a_number() {
    let (lag, oldest) = ("broadway_source_lag", "broadway_source_oldest_seconds");
    let recorded = |told: &[(Option<u64>, Option<Duration>)]| {
        let part = "orders[3]";
        let recorded = recorded_by(&MetricsObserver::new(), |hear| {
            for &(messages, oldest) in told {
                hear(&Event::Lag {
                    producer: 0,
                    part,
                    messages,
                    oldest,
                });
            }
        });
        [lag, oldest].map(|metric| recorded[metric].values[part][0])
    };
    let known = (Some(90), Some(Duration::from_millis(2500)));
    assert_eq!(recorded(&[known]), [90.0, 2.5]);
    assert!(recorded(&[known, (None, None)]).iter().all(|v| v.is_nan()));
    let [messages, age] = recorded(&[known, (Some(12), None)]);
    assert!(messages == 12.0 && age.is_nan());
    assert_eq!(recorded(&[known, (Some(0), None)]), [0.0, 0.0]);
}

#[test]
fn the_state_of_a_topology_is_told_as_gauges() {
    let state = |events: &[Event<'_>]| {
        let recorded = recorded_by(&MetricsObserver::new(), |hear| events.iter().for_each(hear));
        ["running", "draining", "paused"]
            .map(|state| recorded[&format!("broadway_pipeline_{state}")].values[""][0])
    };
    let started = || Event::TopologyStarted {
        producers: 1,
        processors: 1,
        batchers: 0,
    };
    let draining = || Event::Draining {
        cause: DrainCause::Asked,
    };
    assert_eq!(state(&[started()]), [1.0, 0.0, 0.0]);
    assert_eq!(state(&[started(), Event::Paused]), [1.0, 0.0, 1.0]);
    assert_eq!(state(&[started(), draining()]), [1.0, 1.0, 0.0]);
    let drained = Event::Drained {
        elapsed: Duration::ZERO,
        unsettled: 0,
    };
    assert_eq!(state(&[started(), draining(), drained]), [0.0, 0.0, 0.0]);
}
