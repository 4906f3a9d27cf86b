//! The values of headers as text: bounded texts, numbers, and times in milliseconds.

use std::{
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::causes::causes;

/// Shortens `text` to at most `bytes_max` bytes, between two characters.
pub(super) fn bounded(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

/// Returns the sources of an error, one on each line, without the error itself.
pub(super) fn sources(error: &(dyn Error + 'static), bytes_max: usize) -> Option<String> {
    let mut lines = String::new();
    for source in causes(error).skip(1) {
        if lines.len() > bytes_max {
            break;
        }
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&source.to_string().replace(['\n', '\r'], " "));
    }
    (!lines.is_empty()).then(|| bounded(lines, bytes_max))
}

/// Returns a time as milliseconds since 1970, which are negative before.
pub(super) fn millis(time: SystemTime) -> String {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_millis().to_string(),
        Err(before) => format!("-{}", before.duration().as_millis()),
    }
}

/// Reads [`millis`].
pub(super) fn time(text: &str) -> Option<SystemTime> {
    let millis: i64 = text.parse().ok()?;
    let distance = Duration::from_millis(millis.unsigned_abs());
    match millis {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    }
}
