//! The id of a dead letter: the same each time that the same record becomes one.

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use super::text::millis;
use crate::{machine::digest::Digest, message::Record};

/// Returns the id of the dead letter of `record`, which failed in this pipeline.
///
/// Coordinates alone would repeat where a topic was deleted and created again, so time and payload count, too.
pub(super) fn id<R: Record>(record: &R, origin: &str, pipeline: Option<&str>) -> String {
    let time = record.time().map(millis).unwrap_or_default();
    origin_digest(origin)
        .with(pipeline.unwrap_or_default().as_bytes())
        .with(time.as_bytes())
        .with(record.payload())
        .hex()
}

/// Starts the digest that identifies a dead letter, with the [`id`](Record::id) of its record. For publishers whose
/// broker removes duplicates by an id.
///
/// Coordinates that do not identify a record give a digest that is new each time: a repeated dead letter costs less than two messages
/// with one id, of which a consumer would drop the second.
#[must_use]
pub fn origin_digest(origin: &str) -> Digest {
    let digest = Digest::new().with(origin.as_bytes());
    match is_identity(origin) {
        true => digest,
        false => digest.with(&nonce()),
    }
}

/// Whether these coordinates identify a record. A delivery tag of RabbitMQ, after a `#`, does not: it counts from 1 on each channel.
fn is_identity(origin: &str) -> bool {
    let tag = origin.rsplit_once('#').map(|(_, tag)| tag);
    let is_tag = tag.is_some_and(|tag| tag.bytes().all(|byte| byte.is_ascii_digit()));
    !origin.is_empty() && !is_tag
}

/// Bytes that are unique to this call: time, a counter and the process.
fn nonce() -> [u8; 28] {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos().to_le_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
    let mut nonce = [0; 28];
    nonce[..16].copy_from_slice(&now);
    nonce[16..24].copy_from_slice(&count);
    nonce[24..].copy_from_slice(&process::id().to_le_bytes());
    nonce
}
