//! What a topic takes in one request, as far as it is known, and how much of it goes into one.
//!
//! librdkafka packs messages into requests of `batch.size` bytes for all topics alike, and a broker that finds a request larger
//! than the topic's `max.message.bytes` refuses all of it. So a publisher has links of several widths: a topic's messages go
//! through one that is no wider than the topic.
//!
//! No clock, no locks: the caller has both.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// What is kept; beyond that, all is forgotten and asked again.
const TOPICS_MAX: usize = 10_000;
/// Narrower requests than this carry one message each.
const NARROWEST: usize = 512;
/// How often a topic is asked whose limit is not told.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The most bytes that a link packs into one request: a message that is larger goes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Width(usize);

impl Width {
    /// One message in each request.
    pub(crate) const ONE: Self = Self(0);

    pub(crate) fn of_bytes(bytes: usize) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(self) -> usize {
        self.0
    }

    /// The width for a topic with this limit, where `widest` is the most of all topics: a power of two, so that any number
    /// of topics need few links.
    fn for_limit(limit: usize, widest: Self) -> Self {
        if limit >= widest.0 {
            widest
        } else if limit < NARROWEST {
            Self::ONE
        } else {
            Self(1 << limit.ilog2())
        }
    }
}

/// The limits of topics.
#[derive(Debug)]
pub(crate) struct Limits {
    widest: Width,
    topics: HashMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    /// `None` where the broker does not tell.
    limit: Option<usize>,
    asked: Instant,
}

impl Limits {
    pub(crate) fn new(widest: Width) -> Self {
        Self {
            widest,
            topics: HashMap::new(),
        }
    }

    pub(crate) fn widest(&self) -> Width {
        self.widest
    }

    /// No request becomes larger than this.
    pub(crate) fn narrow(&mut self, widest: Width) {
        self.widest = widest;
    }

    /// How wide the requests to this topic may be; `None` if it is to be asked first.
    pub(crate) fn width(&self, topic: &str) -> Option<Width> {
        let known = self.topics.get(topic)?;
        let limit = known.limit.unwrap_or(usize::MAX);
        Some(Width::for_limit(limit, self.widest))
    }

    /// No wider than now, and no wider than this topic: exactly, not rounded.
    pub(crate) fn narrowed_to(&self, topic: &str) -> Width {
        let limit = self.topics.get(topic).and_then(|known| known.limit);
        limit.map_or(self.widest, |limit| self.widest.min(Width(limit.max(1))))
    }

    /// What the broker said of a topic.
    pub(crate) fn learn(&mut self, topic: String, limit: Option<usize>, now: Instant) {
        if self.topics.len() >= TOPICS_MAX && !self.topics.contains_key(&topic) {
            self.topics.clear();
        }
        self.topics.insert(topic, Known { limit, asked: now });
    }

    /// A request to this topic was refused though it was no larger than its limit was known to be: it is asked again.
    /// Returns whether this is news.
    pub(crate) fn doubt(&mut self, topic: &str, now: Instant) -> bool {
        let is_due = self.topics.get(topic).is_some_and(|known| {
            known.limit.is_some() || now.saturating_duration_since(known.asked) >= ASK_AGAIN
        });
        is_due && self.topics.remove(topic).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDEST: Width = Width(1_000_000);

    #[test]
    fn no_width_is_above_its_limit_and_there_are_few_of_them() {
        let mut widths = std::collections::BTreeSet::new();
        for limit in (0..1_100_000).step_by(37) {
            let width = Width::for_limit(limit, WIDEST);
            assert!(width.0 <= limit && width <= WIDEST, "{limit}: {width:?}");
            widths.insert(width);
        }
        assert!(widths.len() <= 13, "{widths:?}");
        assert_eq!(Width::for_limit(usize::MAX, WIDEST), WIDEST);
        assert_eq!(Width::for_limit(10_000, WIDEST), Width(8_192));
    }

    #[test]
    fn a_topic_is_asked_again_when_its_limit_is_in_doubt_but_not_all_the_time_when_it_is_not_told()
    {
        let start = Instant::now();
        let mut limits = Limits::new(WIDEST);
        assert_eq!(limits.width("a"), None);
        limits.learn("a".to_owned(), Some(2_000), start);
        limits.learn("b".to_owned(), None, start);
        assert_eq!(limits.width("a"), Some(Width(1_024)));
        assert_eq!(limits.width("b"), Some(WIDEST));
        assert!(limits.doubt("a", start) && !limits.doubt("a", start));
        assert!(!limits.doubt("b", start) && limits.doubt("b", start + ASK_AGAIN));
        assert_eq!((limits.width("a"), limits.width("b")), (None, None));
    }

    #[test]
    fn the_number_of_known_topics_is_bounded() {
        let mut limits = Limits::new(WIDEST);
        for n in 0..TOPICS_MAX + 5 {
            limits.learn(n.to_string(), Some(1), Instant::now());
        }
        assert!(limits.topics.len() <= TOPICS_MAX);
    }
}
