//! The limits of topics that are known, and the request sizes that follow from them.
//!
//! librdkafka packs messages into requests of `batch.size` bytes for all topics alike, and a broker rejects a request that is larger than
//! the topic's `max.message.bytes` as a whole. So a publisher has clients with several request limits, and a topic's messages go through a
//! client whose limit does not exceed the topic's.
//!
//! Pure: clock and locks are the caller's.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How many topics are kept. At this limit all are forgotten and requested again.
const TOPICS_MAX: usize = 10_000;
/// The smallest limit for which requests carry several messages.
const SMALLEST: usize = 512;
/// How often a limit is requested that the broker does not return.
const REQUEST_AGAIN: Duration = Duration::from_secs(60);

/// The most bytes that a client packs into one request. A larger message has a request of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestLimit(usize);

impl RequestLimit {
    /// One message in each request.
    pub(crate) const ONE_MESSAGE: Self = Self(0);

    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> usize {
        self.0
    }

    /// The request limit for a topic with this limit, at most `largest`. A power of two, so that any number of topics needs few clients.
    fn for_limit(limit: usize, largest: Self) -> Self {
        if limit >= largest.0 {
            largest
        } else if limit < SMALLEST {
            Self::ONE_MESSAGE
        } else {
            Self(1 << limit.ilog2())
        }
    }
}

/// The limits of topics.
#[derive(Debug)]
pub(crate) struct TopicLimits {
    largest: RequestLimit,
    topics: HashMap<String, KnownLimit>,
}

#[derive(Debug)]
struct KnownLimit {
    /// `None` if the broker does not return it.
    limit: Option<usize>,
    requested: Instant,
}

impl TopicLimits {
    pub(crate) fn new(largest: RequestLimit) -> Self {
        Self {
            largest,
            topics: HashMap::new(),
        }
    }

    pub(crate) fn largest(&self) -> RequestLimit {
        self.largest
    }

    /// Lowers the limit of all requests.
    pub(crate) fn lower(&mut self, largest: RequestLimit) {
        self.largest = largest;
    }

    /// The limit of requests to this topic; `None` if the topic's limit must be requested first.
    pub(crate) fn request_limit(&self, topic: &str) -> Option<RequestLimit> {
        let known = self.topics.get(topic)?;
        let limit = known.limit.unwrap_or(usize::MAX);
        Some(RequestLimit::for_limit(limit, self.largest))
    }

    /// The lower of the current limit and this topic's, not rounded.
    pub(crate) fn lowered_to(&self, topic: &str) -> RequestLimit {
        let limit = self.topics.get(topic).and_then(|known| known.limit);
        limit.map_or(self.largest, |limit| {
            self.largest.min(RequestLimit(limit.max(1)))
        })
    }

    /// Records the limit that the broker returned for a topic, or that it returned none.
    pub(crate) fn record(&mut self, topic: String, limit: Option<usize>, now: Instant) {
        if self.topics.len() >= TOPICS_MAX && !self.topics.contains_key(&topic) {
            self.topics.clear();
        }
        self.topics.insert(
            topic,
            KnownLimit {
                limit,
                requested: now,
            },
        );
    }

    /// Forgets the limit of a topic that rejected a request within it, so that it is requested again. Returns whether it was forgotten.
    pub(crate) fn doubt(&mut self, topic: &str, now: Instant) -> bool {
        let is_due = self.topics.get(topic).is_some_and(|known| {
            known.limit.is_some() || now.saturating_duration_since(known.requested) >= REQUEST_AGAIN
        });
        is_due && self.topics.remove(topic).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: RequestLimit = RequestLimit(1_000_000);

    #[test]
    fn no_request_limit_exceeds_its_topics_and_there_are_few_of_them() {
        let mut request_limits = std::collections::BTreeSet::new();
        for limit in (0..1_100_000).step_by(37) {
            let request_limit = RequestLimit::for_limit(limit, LARGEST);
            assert!(
                request_limit.0 <= limit && request_limit <= LARGEST,
                "{limit}: {request_limit:?}"
            );
            request_limits.insert(request_limit);
        }
        assert!(request_limits.len() <= 13, "{request_limits:?}");
        assert_eq!(RequestLimit::for_limit(usize::MAX, LARGEST), LARGEST);
        assert_eq!(
            RequestLimit::for_limit(10_000, LARGEST),
            RequestLimit(8_192)
        );
    }

    #[test]
    fn a_doubtful_limit_is_requested_again_but_one_that_is_not_returned_only_once_in_a_while() {
        let start = Instant::now();
        let mut limits = TopicLimits::new(LARGEST);
        assert_eq!(limits.request_limit("a"), None);
        limits.record("a".to_owned(), Some(2_000), start);
        limits.record("b".to_owned(), None, start);
        assert_eq!(limits.request_limit("a"), Some(RequestLimit(1_024)));
        assert_eq!(limits.request_limit("b"), Some(LARGEST));
        assert!(limits.doubt("a", start) && !limits.doubt("a", start));
        assert!(!limits.doubt("b", start) && limits.doubt("b", start + REQUEST_AGAIN));
        assert_eq!(
            (limits.request_limit("a"), limits.request_limit("b")),
            (None, None)
        );
    }

    #[test]
    fn the_number_of_known_topics_is_bounded() {
        let mut limits = TopicLimits::new(LARGEST);
        for n in 0..TOPICS_MAX + 5 {
            limits.record(n.to_string(), Some(1), Instant::now());
        }
        assert!(limits.topics.len() <= TOPICS_MAX);
    }
}
