//! The lines about failed messages.

use std::cell::Cell;

use ::tracing::{level_filters::LevelFilter, subscriber::NoSubscriber};

use super::*;
use crate::{
    error::Reason,
    telemetry::{AffectedMessages, MessageInfo},
};

fn failed<'a>(reason: &'a Reason, affected: AffectedMessages<'a>) -> Event<'a> {
    Event::MessageFailed {
        processor: 1,
        reason,
        affected,
    }
}

fn logged(observer: &TracingObserver, event: &Event<'_>) -> Logged {
    let lines = logged_by(|| observer.on_event("orders", event));
    let [line] = &lines[..] else {
        panic!("one line, not {lines:?}");
    };
    line.clone()
}

#[test]
fn a_failed_message_is_logged_with_its_coordinates_attempt_and_hash_of_its_key() {
    let refused = samples::refused();
    let event = failed(&refused, samples::affected(1));
    let line = logged(&TracingObserver::new(), &event);
    let fields = ["producer", "processor", "id", "attempt", "key_hash", "key"];
    assert_eq!(
        fields.map(|field| line.field(field)),
        ["0", "1", "orders[3]@0", "2", "0000000000004711", "(none)"]
    );
}

#[test]
fn the_key_is_shown_where_the_user_chooses_so() {
    let refused = samples::refused();
    let observer = TracingObserver::new().keys(true);
    let line = logged(&observer, &failed(&refused, samples::affected(1)));
    let fields = ["key", "key_hash"].map(|field| line.field(field));
    assert_eq!(fields, [samples::SECRET_KEY, "(none)"]);
}

#[test]
fn a_key_is_escaped_and_cut() {
    let refused = samples::refused();
    let observer = TracingObserver::new().keys(true);
    let describe = |_| {
        let mut info = MessageInfo::new("17");
        info.key = Some([b"\n\xff".as_slice(), &[b'x'; 1_000]].concat());
        info
    };
    let line = logged(
        &observer,
        &failed(&refused, AffectedMessages::new(1, &describe)),
    );
    let expected = format!("\\n\\xff{}… (802 bytes more)", "x".repeat(198));
    assert_eq!(line.field("key"), expected);
}

#[test]
fn what_is_not_known_of_a_message_is_not_in_its_line() {
    let refused = samples::refused();
    let line = logged(
        &TracingObserver::new(),
        &failed(&refused, AffectedMessages::unknown()),
    );
    for field in ["producer", "id", "attempt", "key", "key_hash"] {
        assert_eq!(line.field(field), "(none)");
    }
}

#[test]
fn a_line_about_several_messages_names_the_first_and_counts_the_rest() {
    let refused = samples::refused();
    let event = Event::BatchFailed {
        batcher: "events",
        worker: 0,
        count: 100,
        reason: &refused,
        affected: samples::affected(100),
    };
    let line = logged(&TracingObserver::new(), &event);
    assert_eq!(
        (line.field("count"), line.field("ids")),
        (
            "100",
            "orders[3]@0 (attempt 2), orders[3]@1 (attempt 2), orders[3]@2 (attempt 2) and 97 more"
        )
    );
}

#[test]
fn messages_of_lines_that_are_left_out_are_not_described() {
    let (observer, start) = (
        TracingObserver::new().failures_per_second(3),
        Instant::now(),
    );
    let described = Cell::new(0);
    let refused = samples::refused();
    let lines = logged_by(|| {
        for _ in 0..1_000 {
            let describe = |_| {
                described.set(described.get() + 1);
                MessageInfo::new("17")
            };
            let event = failed(&refused, AffectedMessages::new(1, &describe));
            observer.observe("orders", &event, start);
        }
    });
    assert_eq!((lines.len(), described.get()), (3, 3));
}

#[test]
fn messages_of_a_level_that_is_off_are_not_described() {
    let refused = samples::refused();
    let describe = |_| panic!("nobody asked");
    let event = failed(&refused, AffectedMessages::new(1, &describe));
    with_default(NoSubscriber::new(), || {
        TracingObserver::new().observe("orders", &event, Instant::now());
    });
    let errors_only = registry().with(Collector::default().with_filter(LevelFilter::ERROR));
    with_default(errors_only, || {
        TracingObserver::new().observe("orders", &event, Instant::now());
    });
}
