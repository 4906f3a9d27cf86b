//! Sliding windows whose slide becomes ten times shorter: an event belongs to ten times as many windows then.

use std::time::Duration;

use broadway::flow::{EventTime, Flow, RunFlowError, Timestamp, Windows};
use tokio::runtime::Runtime;

use crate::{
    cost::{Cost, in_turn, timed},
    random::Random,
    report::Line,
    support::BoxError,
};

const WORKERS: usize = 2;
const KEYS: u64 = 1_000;
const SIZE: i64 = 60_000;
const LONG_SLIDE: i64 = 1_000;
const SHORT_SLIDE: i64 = 100;

/// The cost of an event with a short slide over the cost with a long one may be this much.
const GOAL: f64 = 2.0;

/// An event: its time and its key.
#[derive(Clone, Copy)]
struct Reading {
    at: i64,
    key: u64,
}

/// Events in order, `per_milli` of them each millisecond, with keys at random.
fn readings(n: u64, per_milli: u64) -> impl Iterator<Item = Reading> + Send + 'static {
    let mut random = Random::new(1);
    (0..n).map(move |number| Reading {
        at: (number / per_milli) as i64,
        key: random.below(KEYS),
    })
}

/// Counts the events of each key in sliding windows. Returns how many windows fired, and the sum of their counts.
async fn flow(n: u64, per_milli: u64, slide: i64) -> Result<(u64, u64), RunFlowError> {
    let millis = |n: i64| Duration::from_millis(n.unsigned_abs());
    let times = EventTime::new(|reading: &Reading| Timestamp::from_millis(reading.at));
    let readings = Flow::from_iter(readings(n, per_milli))
        .event_time(times)
        .workers(WORKERS);
    let windows = readings.partition(|reading| reading.key).workers(WORKERS);
    let counts = windows
        .window(Windows::sliding(millis(SIZE), millis(slide)))
        .count();
    let sums = counts.reduce(
        || (0, 0),
        |(windows, events): &mut (u64, u64), count| {
            *windows += 1;
            *events += count.value.1;
        },
    );
    let sums = sums.collect().await?;
    Ok(sums.into_iter().fold((0, 0), |(windows, events), sum| {
        (windows + sum.0, events + sum.1)
    }))
}

fn run(runtime: &Runtime, n: u64, per_milli: u64, slide: i64) -> Result<Cost, BoxError> {
    let ((windows, events), cost) =
        timed(|| runtime.block_on(async { Ok(tokio::spawn(flow(n, per_milli, slide)).await??) }))?;
    // Each event is in as many windows as slides fit in one.
    let expected = n * (SIZE / slide).unsigned_abs();
    if events != expected {
        return Err(format!(
            "sliding: {windows} windows with {events} events in all, not {expected}"
        )
        .into());
    }
    Ok(cost)
}

/// The time with a slide of 100 ms over the time with 1 s.
pub(crate) fn measure(
    scenario: &'static str,
    (n, per_milli): (u64, u64),
    rounds: usize,
    runtime: &Runtime,
) -> Result<Line, BoxError> {
    let long = || run(runtime, n, per_milli, LONG_SLIDE);
    let short = || run(runtime, n, per_milli, SHORT_SLIDE);
    let rounds = in_turn(rounds, &long, Some(&short))?;
    let line = Line::new(scenario, (n, "events"), &rounds);
    Ok(line.reference("slide_100_ms", &rounds, Some(GOAL)))
}
