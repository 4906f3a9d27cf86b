//! Converts an [`Outgoing`] to the parts of a Kafka message.

use std::{
    ffi::CStr,
    time::{SystemTime, UNIX_EPOCH},
};

use broadway_core::{Outgoing, PublishError, dead_letter::headers};

use super::in_flight::Ticket;
use crate::{
    ffi::{MessageParts, RawHeaders},
    headers::carry,
};

/// The header for times that Kafka cannot express.
const TIME: &[u8] = headers::TIME.as_bytes();
/// Lets the key select the partition.
const ANY: i32 = -1;

/// The parts of `message`.
pub(crate) fn parts<'a>(
    message: &'a Outgoing,
    topic: &'a CStr,
    empty_is_tombstone: bool,
    ticket: Ticket,
) -> Result<MessageParts<'a>, PublishError> {
    if let Some(partition) = message.partition().filter(|partition| *partition < 0) {
        return Err(PublishError::refused(format!(
            "topic {topic:?} has no partition {partition}: give 0 or more to `to_partition`"
        )));
    }
    let payload = message.payload().map(|payload| &payload[..]);
    let odd_time = message.time().map(millis).filter(|ms| *ms <= 0);
    let odd_time = odd_time.map(|ms| ms.to_string());
    Ok(MessageParts {
        topic,
        partition: message.partition().unwrap_or(ANY),
        payload: payload.filter(|payload| !(empty_is_tombstone && payload.is_empty())),
        key: message.message_key().map(|key| &key[..]),
        timestamp_ms: timestamp_ms(message).unwrap_or(0),
        headers: headers(message, odd_time.as_deref())?,
        opaque: ticket.number(),
    })
}

/// The timestamp that was set for the message, if Kafka can express it: librdkafka takes 0 as now, and brokers reject negative ones.
pub(crate) fn timestamp_ms(message: &Outgoing) -> Option<i64> {
    message.time().map(millis).filter(|ms| *ms > 0)
}

fn headers(message: &Outgoing, odd_time: Option<&str>) -> Result<RawHeaders, PublishError> {
    let given = message.headers();
    let mut headers = RawHeaders::with_capacity(given.len() + usize::from(odd_time.is_some()));
    let carried = carry(given, &mut |header| headers.add(header));
    carried.map_err(PublishError::refused)?;
    if let Some(time) = odd_time {
        headers.add((TIME, Some(time.as_bytes())));
    }
    Ok(headers)
}

/// Milliseconds since 1970, negative before.
fn millis(time: SystemTime) -> i64 {
    let ms = |since: std::time::Duration| i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => ms(after),
        Err(before) => -ms(before.duration()),
    }
}
