//! The metrics of stages.

use super::*;
use crate::{error::Callback, stage::End, telemetry::StageEvent};

/// The values of a metric after some events, by its labels.
fn told<const N: usize>(events: [StageEvent<'_>; N]) -> Recorded {
    recorded_by(&MetricsObserver::new(), |hear| {
        events
            .into_iter()
            .for_each(|event| hear(&Event::Stage(event)));
    })
}

fn gauges(recorded: &Recorded) -> [f64; 5] {
    [
        "running",
        "subscriptions",
        "consumers",
        "demand",
        "buffered",
    ]
    .map(|state| recorded[&format!("broadway_stage_{state}")].values["orders"][0])
}

fn at_work<'a>() -> [StageEvent<'a>; 7] {
    [
        StageEvent::Started,
        StageEvent::Subscribed {
            producer: "numbers",
            subscriptions: 2,
        },
        StageEvent::ConsumerSubscribed,
        StageEvent::ConsumerSubscribed,
        StageEvent::ConsumerCancelled { end: &End::Normal },
        StageEvent::Demanded {
            demand: 10,
            outstanding: 12,
        },
        StageEvent::Buffered { count: 4 },
    ]
}

#[test]
fn stages_have_metrics_of_their_own_and_no_pipelines() {
    let recorded = told(at_work());
    let names: Vec<_> = recorded.keys().collect();
    let of_stage = |name: &&String| name.starts_with("broadway_stage_");
    assert!(names.iter().all(of_stage), "{names:?}");
}

#[test]
fn every_received_event_is_counted_also_those_that_were_lost() {
    let recorded = every_event(&MetricsObserver::new());
    let counts = ["received", "emitted", "discarded", "dropped", "lost"]
        .map(|what| recorded[&format!("broadway_stage_events_{what}_total")].values["orders"][0]);
    assert_eq!(counts, [8.0, 9.0, 6.0, 2.0, 3.0]);
    check(&recorded, "broadway_stage_chunk_size", "orders", &[5.0]);
    check(&recorded, "broadway_stage_restarts_total", "orders", &[1.0]);
}

#[test]
fn calls_and_failures_are_told_by_callback() {
    let recorded = every_event(&MetricsObserver::new());
    let seconds = "broadway_stage_callback_duration_seconds";
    check(&recorded, seconds, "orders handle_events", &[1.25]);
    check(&recorded, seconds, "orders receive", &[0.001]);
    let failures = "broadway_stage_failures_total";
    check(&recorded, failures, "orders handle_events", &[1.0]);
    check(&recorded, failures, "orders handle_timer", &[1.0]);
}

#[test]
fn a_stage_is_busy_in_all_its_callbacks() {
    let half = |callback| StageEvent::Called {
        callback,
        elapsed: Duration::from_millis(500),
    };
    let recorded = told([half(Callback::Receive), half(Callback::HandleDemand)]);
    check(
        &recorded,
        "broadway_stage_busy_seconds_total",
        "orders",
        &[1.0],
    );
}

#[test]
fn the_state_of_a_stage_is_told_as_gauges_that_its_end_resets() {
    assert_eq!(gauges(&told(at_work())), [1.0, 2.0, 1.0, 12.0, 4.0]);
    let emitted = StageEvent::Emitted {
        count: 9,
        outstanding: 3,
    };
    assert_eq!(gauges(&told([emitted])), [0.0, 0.0, 0.0, 3.0, 0.0]);
    let recorded = recorded_by(&MetricsObserver::new(), |hear| {
        at_work()
            .into_iter()
            .for_each(|event| hear(&Event::Stage(event)));
        hear(&Event::Stage(StageEvent::Ended { end: &End::Normal }));
    });
    assert_eq!(gauges(&recorded), [0.0; 5]);
}

#[test]
fn stages_that_share_a_name_are_counted_while_they_run() {
    let ended = StageEvent::Ended { end: &End::Normal };
    let recorded = told([
        StageEvent::Started,
        StageEvent::Started,
        StageEvent::Started,
        ended,
    ]);
    check(&recorded, "broadway_stage_running", "orders", &[2.0]);
}
