//! How long the broker lets a message be unsettled, its `consumer_timeout`, and what that means for pauses.
//!
//! A message that is to be requeued after a pause is unsettled until then. The broker knows no pause: it closes the channel over it,
//! and all that is unsettled there comes again. So a pause ends before, and the message goes back. How long the broker waits is told
//! by the options, or learned from its words when it has lost its patience.

use std::time::Duration;

use crate::unsettled::{OldestUnsettled, ShortenedPause};

/// What RabbitMQ has where nobody has said otherwise.
pub(crate) const DEFAULT: Duration = Duration::from_secs(30 * 60);

/// What is known of the broker's patience.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerTimeout {
    /// `None` is without end.
    limit: Option<Duration>,
    /// It was told that pauses are cut.
    is_told: bool,
}

/// The longest pause under this limit: with room for a frame that is late.
pub(crate) fn pause_max(limit: Duration) -> Duration {
    limit / 5 * 4
}

impl ConsumerTimeout {
    /// [`Duration::MAX`] is without end.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit: (limit != Duration::MAX).then_some(limit),
            is_told: false,
        }
    }

    /// How long a message may be unsettled that only pauses.
    pub(crate) fn pause_max(&self) -> Option<Duration> {
        self.limit.map(pause_max)
    }

    /// The broker says that this is its limit.
    pub(crate) fn learn(&mut self, limit: Option<Duration>) {
        if let Some(limit) = limit
            && self.limit.is_none_or(|known| limit < known)
        {
            self.limit = Some(limit);
            self.is_told = false;
        }
    }

    /// What the broker closed the channel over, when this was the oldest message.
    pub(crate) fn blame(&self, oldest: Option<OldestUnsettled>) -> String {
        match oldest {
            Some(OldestUnsettled::Pausing(age)) => {
                let pause = self.pause_max().unwrap_or_default();
                format!(
                    "a failed message has waited here for {age:.1?} to be requeued (`requeue_delay`, `RequeueAfter`), longer than the broker's `consumer_timeout` allows; from now on pauses end after {pause:.1?}: raise `consumer_timeout` at the broker, or give shorter pauses"
                )
            }
            Some(OldestUnsettled::InWork(age)) => format!(
                "a message was in work for {age:.1?}, longer than the broker's `consumer_timeout` allows: raise that, or settle sooner"
            ),
            None => {
                "the broker's `consumer_timeout` was over: raise that, or settle sooner".to_owned()
            }
        }
    }

    /// What to say of a pause that was cut; `None` where that was said already.
    pub(crate) fn cut(
        &mut self,
        ShortenedPause { asked, given }: ShortenedPause,
    ) -> Option<String> {
        let limit = self.limit?;
        (!std::mem::replace(&mut self.is_told, true)).then(|| {
            format!(
                "a failed message goes back into its queue after {given:.1?} instead of {asked:?} (`requeue_delay`, `RequeueAfter`), as will others: the broker closes the channel over a message that is unsettled for {limit:?} (its `consumer_timeout`); raise that and the option `consumer_timeout`, or use a queue with a time to live"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_the_broker_says_shortens_pauses_and_never_prolongs_them() {
        let mut patience = ConsumerTimeout::new(Duration::MAX);
        assert_eq!(patience.pause_max(), None);
        patience.learn(None);
        assert_eq!(patience.pause_max(), None);
        patience.learn(Some(10 * SECOND));
        patience.learn(Some(20 * SECOND));
        assert_eq!(patience.pause_max(), Some(8 * SECOND));
    }

    #[test]
    fn a_cut_is_said_once_for_each_limit() {
        let mut patience = ConsumerTimeout::new(100 * SECOND);
        let cut = ShortenedPause {
            asked: 120 * SECOND,
            given: 79 * SECOND,
        };
        let said = patience.cut(cut).unwrap();
        for word in [
            "79.0s",
            "120s",
            "100s",
            "`consumer_timeout`",
            "`RequeueAfter`",
        ] {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
        assert_eq!(patience.cut(cut), None);
        patience.learn(Some(10 * SECOND));
        assert!(patience.cut(cut).is_some());
    }

    #[test]
    fn a_pause_is_not_taken_for_work() {
        let patience = ConsumerTimeout::new(10 * SECOND);
        let said = patience.blame(Some(OldestUnsettled::Pausing(11 * SECOND)));
        assert!(
            said.contains("`RequeueAfter`") && !said.contains("in work"),
            "{said}"
        );
        let said = patience.blame(Some(OldestUnsettled::InWork(11 * SECOND)));
        assert!(said.contains("in work"), "{said}");
    }
}
