//! Splits messages into requests, and decides which requests may run concurrently.

use std::hash::{BuildHasher, RandomState};

use super::{
    REQUESTS_MAX,
    convert::{ConversionRules, ConvertedMessage},
};
use crate::ack_queue::ENTRIES_MAX;

/// A converted message, with its index in the call of `publish`.
#[derive(Debug, Clone)]
pub(super) struct IndexedMessage {
    pub(super) index: usize,
    pub(super) message: ConvertedMessage,
}

/// The messages of one request.
pub(super) type SendRequest = Vec<IndexedMessage>;
/// Requests that are sent one after the other.
pub(super) type RequestSequence = Vec<SendRequest>;

/// Splits messages into requests. In a FIFO queue the messages of a group stay in one sequence, in their order; in a standard queue
/// every request is a sequence of its own.
pub(super) fn sequences(
    messages: Vec<IndexedMessage>,
    rules: &ConversionRules,
    messages_max: usize,
) -> Vec<RequestSequence> {
    // A request never holds more messages than may be in flight, or it would wait for permits forever.
    let entries_max = ENTRIES_MAX.min(messages_max);
    if !rules.is_fifo {
        let requests = split(messages, entries_max, rules.bytes_max);
        return requests.into_iter().map(|request| vec![request]).collect();
    }
    // As many sequences as full requests need, so that few messages are not spread over many small requests.
    let n = messages.len().div_ceil(ENTRIES_MAX).clamp(1, REQUESTS_MAX);
    let (mut of_sequence, hasher) = (vec![Vec::new(); n], RandomState::new());
    for indexed in messages {
        let sequence = hasher.hash_one(&indexed.message.group) % n as u64;
        let sequence = usize::try_from(sequence).expect("below the number of sequences");
        of_sequence[sequence].push(indexed);
    }
    of_sequence
        .into_iter()
        .map(|messages| split(messages, entries_max, rules.bytes_max))
        .collect()
}

fn split(messages: Vec<IndexedMessage>, entries_max: usize, bytes_max: usize) -> Vec<SendRequest> {
    let mut requests: Vec<SendRequest> = Vec::with_capacity(messages.len().div_ceil(entries_max));
    let mut bytes = 0;
    for indexed in messages {
        let size = indexed.message.bytes;
        match requests.last_mut() {
            Some(request) if request.len() < entries_max && bytes + size <= bytes_max => {
                bytes += size;
                request.push(indexed);
            }
            _ => {
                bytes = size;
                requests.push(vec![indexed]);
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use broadway_core::Outgoing;

    use super::*;

    fn plan(is_fifo: bool, messages_max: usize, messages: Vec<Outgoing>) -> Vec<RequestSequence> {
        let rules = ConversionRules {
            is_fifo,
            is_fair: false,
            bytes_max: 100,
            delay_secs: None,
            deduplicate: None,
            default_group: "default".to_owned(),
        };
        let indexed = messages
            .into_iter()
            .enumerate()
            .map(|(index, message)| IndexedMessage {
                index,
                message: rules.convert(message).unwrap(),
            });
        sequences(indexed.collect(), &rules, messages_max)
    }

    fn sizes(sequences: &[RequestSequence]) -> Vec<usize> {
        sequences.iter().flatten().map(Vec::len).collect()
    }

    #[test]
    fn requests_keep_the_limits_on_messages_and_bytes() {
        let small = vec![Outgoing::new("x"); 23];
        assert_eq!(sizes(&plan(false, 1_000, small.clone())), [10, 10, 3]);
        assert_eq!(sizes(&plan(false, 4, small))[..2], [4, 4]);
        let large = vec![Outgoing::new("x".repeat(40)); 5];
        assert_eq!(sizes(&plan(false, 1_000, large)), [2, 2, 1]);
    }

    #[test]
    fn a_group_stays_in_one_sequence_in_order() {
        let messages = (0..100).map(|n| Outgoing::new("x").key(format!("group-{}", n % 9)));
        let planned = plan(true, 1_000, messages.collect());
        for group in 0..9 {
            let name = Some(format!("group-{group}"));
            let of_sequence = |sequence: &RequestSequence| {
                let messages = sequence.iter().flatten();
                let of_group = messages.filter(|indexed| indexed.message.group == name);
                of_group.map(|indexed| indexed.index).collect::<Vec<_>>()
            };
            let mut indices: Vec<_> = planned.iter().map(of_sequence).collect();
            indices.retain(|indices| !indices.is_empty());
            assert_eq!(indices.len(), 1);
            assert!(indices[0].is_sorted() && indices[0].len() >= 11);
        }
    }
}
