//! Memory: many events with many live keys in fixed windows.

use std::time::Duration;

use broadway::flow::{EventTime, Flow, RunFlowError, Timestamp, Windows};
use tokio::runtime::Runtime;

use crate::{
    cost::{in_turn, timed},
    report::Line,
    support::BoxError,
};

const WORKERS: usize = 2;
const KEYS: u64 = 1_000_000;

/// Events of a window: each key has two.
const WINDOW_EVENTS: u64 = 2 * KEYS;
const WINDOW_MILLIS: u64 = 10_000;

/// Counts the events of each key in windows. Returns how many windows fired, and the sum of their counts.
async fn flow(n: u64) -> Result<(u64, u64), RunFlowError> {
    let per_milli = WINDOW_EVENTS / WINDOW_MILLIS;
    let times =
        EventTime::new(move |number: &u64| Timestamp::from_millis((number / per_milli) as i64));
    let events = Flow::from_iter(0..n).event_time(times).workers(WORKERS);
    let windows = Windows::fixed(Duration::from_millis(WINDOW_MILLIS));
    let counts = events
        .partition(|number| number % KEYS)
        .workers(WORKERS)
        .window(windows)
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

/// Counts `n` events once, and reports the peak of resident memory. Alone in its process, it is the peak of this flow.
pub(crate) fn measure(n: u64, runtime: &Runtime) -> Result<Line, BoxError> {
    let run = || {
        let (sums, cost) = timed(|| runtime.block_on(async { Ok(tokio::spawn(flow(n)).await??) }))?;
        let windows = n / WINDOW_EVENTS * KEYS + (n % WINDOW_EVENTS).min(KEYS);
        if sums != (windows, n) {
            return Err(format!(
                "bounds: {sums:?} windows and events, not {:?}",
                (windows, n)
            )
            .into());
        }
        Ok(cost)
    };
    let rounds = in_turn(1, &run, None)?;
    Ok(Line::new("bounds", (n, "events"), &rounds).peak_rss())
}
