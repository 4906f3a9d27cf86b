//! The message to be replayed: the record that failed, as it was.

use crate::{
    dead_letter::{
        DeadLetterInfo,
        headers::{ID, REPLAYS, is_of_letter},
    },
    message::Record,
    publisher::Outgoing,
};

/// Returns the message of a dead letter: its payload, key and headers, its id, and how often it was replayed, this time included.
pub(super) fn replayed<R: Record>(letter: &R, info: &DeadLetterInfo, keeps_time: bool) -> Outgoing {
    let mut message = Outgoing::from_record(letter);
    message.retain_headers(|header| !is_of_letter(&header.name) && header.name != REPLAYS);
    // The time of the dead letter, not of the record.
    message.take_time();
    if let Some(id) = &info.id {
        message = message.header(ID, id);
    }
    message = message.header(REPLAYS, info.replays.saturating_add(1).to_string());
    match info.time.filter(|_| keeps_time) {
        Some(time) => message.sent_at(time),
        None => message,
    }
}
