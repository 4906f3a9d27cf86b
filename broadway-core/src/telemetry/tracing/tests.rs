mod failed;
mod stages;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ::tracing::{
    Event as Line, Level, Subscriber,
    field::{Field, Visit},
    subscriber::with_default,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    registry,
};

use super::*;
use crate::{
    error::Callback,
    telemetry::{samples, throttle::WINDOW},
};

#[derive(Debug, Clone)]
struct Logged {
    level: Level,
    target: String,
    fields: BTreeMap<&'static str, String>,
}

impl Logged {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("(none)", String::as_str)
    }
}

impl Visit for Logged {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

#[derive(Default, Clone)]
struct Collector(Arc<Mutex<Vec<Logged>>>);

impl<S: Subscriber> Layer<S> for Collector {
    fn on_event(&self, line: &Line<'_>, _: Context<'_, S>) {
        let (level, target) = (
            *line.metadata().level(),
            line.metadata().target().to_owned(),
        );
        let mut logged = Logged {
            level,
            target,
            fields: BTreeMap::new(),
        };
        line.record(&mut logged);
        self.0.lock().expect("no test panics with it").push(logged);
    }
}

fn logged_by(work: impl FnOnce()) -> Vec<Logged> {
    let collector = Collector::default();
    with_default(registry().with(collector.clone()), work);
    let lines = collector.0.lock().expect("no test panics with it");
    lines.clone()
}

fn fail_message(observer: &TracingObserver, pipeline: &str, now: Instant) {
    observer.observe(
        pipeline,
        &Event::MessageFailed {
            processor: 0,
            reason: &samples::refused(),
            affected: samples::affected(1),
        },
        now,
    );
}

#[test]
fn every_event_is_one_line_with_its_name_and_pipeline_or_stage() {
    let mut names = Vec::new();
    let observer = TracingObserver::new();
    let lines = logged_by(|| {
        samples::every_event(|event| {
            names.push(event.name());
            observer.on_event("orders", event);
        });
    });
    let logged: Vec<_> = lines
        .iter()
        .map(|line| line.field("event").to_owned())
        .collect();
    assert_eq!(logged, names);
    for line in lines {
        let teller = match line.field("event") {
            "published" => "publisher",
            event if event.starts_with("stage_") => "stage",
            _ => "pipeline",
        };
        for other in ["pipeline", "stage", "publisher"] {
            assert_eq!(line.field(other) != "(none)", other == teller, "{line:?}");
        }
        assert_eq!(
            (line.target.as_str(), line.field(teller)),
            ("broadway", "orders"),
            "{line:?}"
        );
    }
}

#[test]
fn an_unknown_lag_is_logged_as_unknown() {
    let observer = TracingObserver::new();
    let lag = |messages, oldest| Event::Lag {
        producer: 0,
        part: "orders[3]",
        messages,
        oldest,
    };
    let lines = logged_by(|| {
        observer.on_event("orders", &lag(None, None));
        observer.on_event("orders", &lag(Some(90), Some(Duration::from_millis(2500))));
    });
    let fields = |line: &Logged| ["messages", "oldest_ms"].map(|name| line.field(name).to_owned());
    assert_eq!(fields(&lines[0]), ["unknown", "(none)"]);
    assert_eq!(fields(&lines[1]), ["90", "2500.0"]);
}

#[test]
fn what_is_routine_is_logged_below_info_and_nothing_else_is() {
    let mut routine = Vec::new();
    let observer = TracingObserver::new();
    let lines = logged_by(|| {
        samples::every_event(|event| {
            routine.push((event.name(), event.is_routine()));
            observer.on_event("orders", event);
        });
    });
    let below_info: Vec<_> = lines
        .iter()
        .map(|line| (line.field("event"), line.level > Level::INFO))
        .collect();
    assert_eq!(below_info, routine);
}

#[test]
fn durations_have_digits_that_are_worth_reading() {
    let digits = [
        (1_234_567_890, 1235.0),
        (56_120_345, 56.12),
        (123_456_789, 123.5),
        (7_123, 0.007),
        (1_500_000, 1.5),
        (0, 0.0),
    ];
    for (nanos, ms) in digits {
        assert_eq!(milliseconds::ms(Duration::from_nanos(nanos)), ms);
    }
}

#[test]
fn neither_payloads_nor_keys_are_logged() {
    let observer = TracingObserver::new();
    let lines = logged_by(|| samples::every_event(|event| observer.on_event("orders", event)));
    assert!(!format!("{lines:?}").contains(samples::SECRET_KEY));
}

#[test]
fn failures_warn_panics_are_errors_and_chunks_are_a_trace() {
    let observer = TracingObserver::new();
    let panic = samples::panicked(Callback::HandleMessage);
    let elapsed = Duration::from_micros(1500);
    let lines = logged_by(|| {
        fail_message(&observer, "orders", Instant::now());
        observer.on_event(
            "orders",
            &Event::MessageFailed {
                processor: 0,
                reason: &panic,
                affected: samples::affected(1),
            },
        );
        let chunk = Event::ChunkStopped {
            processor: 3,
            done: 2,
            failed: 1,
            forwarded: 0,
            returned: 0,
            retried: 0,
            elapsed,
        };
        observer.on_event("orders", &chunk);
        observer.on_event("orders", &Event::Paused);
    });
    let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
    assert_eq!(
        levels,
        [Level::WARN, Level::ERROR, Level::TRACE, Level::INFO]
    );
    assert_eq!(lines[0].field("reason"), "handle_message failed: refused");
    assert_eq!(
        (lines[2].field("processor"), lines[2].field("elapsed_ms")),
        ("3", "1.5")
    );
}

#[test]
fn a_storm_of_failures_is_a_few_lines_and_a_count() {
    let (observer, start) = (
        TracingObserver::new().failures_per_second(3),
        Instant::now(),
    );
    let lines = logged_by(|| {
        (0..1000).for_each(|_| fail_message(&observer, "orders", start));
        observer.observe("orders", &Event::Paused, start + WINDOW);
        observer.observe("orders", &Event::Resumed, start + WINDOW);
    });
    let logged: Vec<_> = lines.iter().map(|line| line.field("event")).collect();
    assert_eq!(
        logged,
        [
            "message_failed",
            "message_failed",
            "message_failed",
            "suppressed",
            "paused",
            "resumed"
        ]
    );
    assert_eq!(
        (lines[3].field("suppressed"), lines[3].field("what")),
        ("997", "message_failed")
    );
}

#[test]
fn a_storm_of_one_kind_or_pipeline_hides_no_other() {
    let (observer, start) = (
        TracingObserver::new().failures_per_second(1),
        Instant::now(),
    );
    let reason = samples::refused();
    let lines = logged_by(|| {
        (0..9).for_each(|_| fail_message(&observer, "orders", start));
        fail_message(&observer, "refunds", start);
        observer.observe(
            "orders",
            &Event::AckFailed {
                producer: 0,
                count: 1,
                reason: &reason,
                affected: samples::affected(1),
            },
            start,
        );
    });
    let logged: Vec<_> = lines
        .iter()
        .map(|line| (line.field("pipeline"), line.field("event")))
        .collect();
    assert_eq!(
        logged,
        [
            ("orders", "message_failed"),
            ("refunds", "message_failed"),
            ("orders", "ack_failed")
        ]
    );
}

#[test]
fn what_was_left_out_is_told_at_the_latest_when_the_topology_ends() {
    let (observer, start) = (
        TracingObserver::new().failures_per_second(0),
        Instant::now(),
    );
    let lines = logged_by(|| {
        fail_message(&observer, "orders", start);
        observer.observe(
            "orders",
            &Event::Drained {
                elapsed: Duration::ZERO,
                unsettled: 0,
            },
            start,
        );
    });
    let logged: Vec<_> = lines.iter().map(|line| line.field("event")).collect();
    assert_eq!(logged, ["suppressed", "drained"]);
}
