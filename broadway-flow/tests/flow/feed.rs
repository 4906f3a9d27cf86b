//! Sources with pauses, for tests in paused time: the clock moves on when nothing else is left to do, so what comes before a pause is handled
//! before what comes behind it.

use std::time::Duration;

use broadway_flow::{EventTime, Flow, Timestamp, Windowed};
use futures_util::{StreamExt, stream};

pub(crate) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Each part arrives at once, a second after the one before.
pub(crate) fn in_parts<T: Send + 'static>(parts: Vec<Vec<T>>) -> Flow<T> {
    let parts = stream::iter(parts).enumerate().then(async |(n, part)| {
        if n > 0 {
            tokio::time::sleep(s(1)).await;
        }
        stream::iter(part)
    });
    Flow::from_stream(parts.flatten())
}

/// Events that are their own times, in seconds.
pub(crate) fn timed(parts: Vec<Vec<i64>>) -> Flow<i64> {
    in_parts(parts).event_time(times()).workers(1)
}

pub(crate) fn times() -> EventTime<i64> {
    EventTime::new(|second: &i64| Timestamp::from_millis(second * 1_000))
}

/// Start in seconds, and value.
pub(crate) fn brief<T: Clone>(result: &Windowed<T>) -> (i64, T) {
    (
        result.start().unwrap().as_millis().div_euclid(1_000),
        result.value.clone(),
    )
}
