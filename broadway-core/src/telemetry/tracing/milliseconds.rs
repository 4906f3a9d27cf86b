//! Durations as log fields.

use std::time::Duration;

/// Returns milliseconds with the digits worth reading: three decimals below 10 ms, because chunks take microseconds,
/// and none from a second on.
pub(super) fn ms(duration: Duration) -> f64 {
    let ms = duration.as_secs_f64() * 1e3;
    let scale = match ms {
        ..10.0 => 1e3,
        ..100.0 => 1e2,
        ..1000.0 => 1e1,
        _ => 1.0,
    };
    (ms * scale).round() / scale
}
