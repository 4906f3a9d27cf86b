//! The log of stages.

use super::*;
use crate::{
    error::Reason,
    stage::End,
    telemetry::{StageEvent, throttle::WINDOW},
};

fn discard(observer: &TracingObserver, stage: &str, now: Instant) {
    let event = StageEvent::Discarded { count: 1 };
    observer.observe(stage, &Event::Stage(event), now);
}

fn fail(observer: &TracingObserver, reason: &Reason, restart_after: Option<Duration>) {
    let event = StageEvent::Failed {
        reason,
        lost: 7,
        restart_after,
    };
    observer.on_event("doubler", &Event::Stage(event));
}

fn end(observer: &TracingObserver, stage: &str, end: &End, now: Instant) {
    observer.observe(stage, &Event::Stage(StageEvent::Ended { end }), now);
}

fn events(lines: &[Logged]) -> Vec<(&str, &str)> {
    let named = |line| (Logged::field(line, "stage"), Logged::field(line, "event"));
    lines.iter().map(named).collect()
}

#[test]
fn a_failed_stage_warns_if_it_is_made_anew_and_else_is_an_error_as_panics_are() {
    let observer = TracingObserver::new();
    let (refused, wait) = (samples::refused(), Some(Duration::from_millis(250)));
    let lines = logged_by(|| {
        fail(&observer, &refused, wait);
        fail(&observer, &samples::panicked(Callback::HandleTimer), wait);
        fail(&observer, &refused, None);
    });
    let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::WARN, Level::ERROR, Level::ERROR]);
    let fields = ["reason", "lost", "restart_after_ms"].map(|field| lines[0].field(field));
    assert_eq!(fields, ["handle_message failed: refused", "7", "250.0"]);
    assert_eq!(lines[2].field("restart_after_ms"), "(none)");
}

#[test]
fn an_end_warns_only_after_a_failure() {
    let (observer, now) = (TracingObserver::new(), Instant::now());
    let lines = logged_by(|| {
        end(&observer, "doubler", &End::Normal, now);
        end(&observer, "doubler", &samples::failed_end(), now);
    });
    let levels: Vec<_> = lines.iter().map(|line| line.level).collect();
    assert_eq!(levels, [Level::DEBUG, Level::WARN]);
}

#[test]
fn a_storm_of_discarded_events_is_a_few_lines_and_a_count_for_each_stage() {
    let (observer, start) = (
        TracingObserver::new().failures_per_second(2),
        Instant::now(),
    );
    let lines = logged_by(|| {
        (0..1000).for_each(|_| discard(&observer, "doubler", start));
        discard(&observer, "printer", start);
        discard(&observer, "doubler", start + WINDOW);
    });
    let expected = [
        ("doubler", "stage_discarded"),
        ("doubler", "stage_discarded"),
        ("printer", "stage_discarded"),
        ("doubler", "suppressed"),
        ("doubler", "stage_discarded"),
    ];
    assert_eq!(events(&lines), expected);
    let count = ["suppressed", "what", "pipeline"].map(|field| lines[3].field(field));
    assert_eq!(count, ["998", "stage_discarded", "(none)"]);
}

#[test]
fn what_was_left_out_is_told_at_the_latest_when_the_stage_ends() {
    let (observer, start) = (
        TracingObserver::new().failures_per_second(0),
        Instant::now(),
    );
    let lines = logged_by(|| {
        discard(&observer, "doubler", start);
        fail(&observer, &samples::refused(), None);
        end(&observer, "doubler", &End::Normal, start);
    });
    let told: Vec<_> = lines.iter().map(|line| line.field("what")).collect();
    assert_eq!(told, ["stage_failed", "stage_discarded", "(none)"]);
    assert_eq!(lines[2].field("event"), "stage_ended");
}
