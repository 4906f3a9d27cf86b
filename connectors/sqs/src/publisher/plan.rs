//! Which messages share a request, and which requests may run side by side.

use std::hash::{BuildHasher, RandomState};

use super::{
    REQUESTS_MAX,
    entry::{Entry, Rules},
};
use crate::outbox::BATCH_MAX;

/// A message that can be sent, and its place among those that were handed over.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) place: usize,
    pub(super) entry: Entry,
}

/// Messages of one request.
pub(super) type Request = Vec<Prepared>;
/// Requests that are made one after the other.
pub(super) type Lane = Vec<Request>;

/// Cuts messages into requests. In a FIFO queue those of a group stay in one lane, in their order; in a standard queue every request is
/// a lane.
pub(super) fn lanes(prepared: Vec<Prepared>, rules: &Rules, in_flight_max: usize) -> Vec<Lane> {
    let entries_max = BATCH_MAX.min(in_flight_max);
    if !rules.is_fifo {
        let requests = cut(prepared, entries_max, rules.bytes_max);
        return requests.into_iter().map(|request| vec![request]).collect();
    }
    let n = prepared.len().div_ceil(BATCH_MAX).clamp(1, REQUESTS_MAX);
    let (mut of_lane, hasher) = (vec![Vec::new(); n], RandomState::new());
    for message in prepared {
        let lane = hasher.hash_one(&message.entry.group) % n as u64;
        of_lane[usize::try_from(lane).expect("below the number of lanes")].push(message);
    }
    of_lane
        .into_iter()
        .map(|messages| cut(messages, entries_max, rules.bytes_max))
        .collect()
}

fn cut(messages: Vec<Prepared>, entries_max: usize, bytes_max: usize) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::with_capacity(messages.len().div_ceil(entries_max));
    let mut bytes = 0;
    for message in messages {
        let size = message.entry.bytes;
        match requests.last_mut() {
            Some(request) if request.len() < entries_max && bytes + size <= bytes_max => {
                bytes += size;
                request.push(message);
            }
            _ => {
                bytes = size;
                requests.push(vec![message]);
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

    fn plan(is_fifo: bool, in_flight_max: usize, messages: Vec<Outgoing>) -> Vec<Lane> {
        let rules = Rules {
            is_fifo,
            is_fair: false,
            bytes_max: 100,
            delay_secs: None,
            deduplicate: None,
            default_group: "default".to_owned(),
        };
        let prepared = messages
            .into_iter()
            .enumerate()
            .map(|(place, message)| Prepared {
                place,
                entry: rules.entry(message).unwrap(),
            });
        lanes(prepared.collect(), &rules, in_flight_max)
    }

    fn sizes(lanes: &[Lane]) -> Vec<usize> {
        lanes.iter().flatten().map(Vec::len).collect()
    }

    #[test]
    fn a_request_has_ten_messages_and_no_more_bytes_than_it_may() {
        let small = vec![Outgoing::new("x"); 23];
        assert_eq!(sizes(&plan(false, 1_000, small.clone())), [10, 10, 3]);
        assert_eq!(sizes(&plan(false, 4, small))[..2], [4, 4]);
        let large = vec![Outgoing::new("x".repeat(40)); 5];
        assert_eq!(sizes(&plan(false, 1_000, large)), [2, 2, 1]);
    }

    #[test]
    fn a_group_stays_in_one_lane_and_in_order() {
        let messages = (0..100).map(|n| Outgoing::new("x").key(format!("group-{}", n % 9)));
        let lanes = plan(true, 1_000, messages.collect());
        for group in 0..9 {
            let name = Some(format!("group-{group}"));
            let of_lane = |lane: &Lane| {
                let messages = lane.iter().flatten();
                let of_group = messages.filter(|message| message.entry.group == name);
                of_group.map(|message| message.place).collect::<Vec<_>>()
            };
            let mut places: Vec<_> = lanes.iter().map(of_lane).collect();
            places.retain(|places| !places.is_empty());
            assert_eq!(places.len(), 1);
            assert!(places[0].is_sorted() && places[0].len() >= 11);
        }
    }
}
