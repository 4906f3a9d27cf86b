//! The broker's `consumer_timeout`: how long it lets a message be unsettled, and what that means for pauses before a requeue.
//!
//! A message that waits for its requeue is unsettled. The broker does not know that it waits: when the timeout is over it closes the
//! channel, and delivers everything that was unsettled on it again. So a pause ends before that. The timeout is taken from the options,
//! or learned from the broker's text when it closes a channel.

use std::time::Duration;

use crate::unsettled::{OldestUnsettled, ShortenedPause};

/// RabbitMQ's own default.
pub(crate) const DEFAULT: Duration = Duration::from_secs(30 * 60);

/// The shortest timeout that is known.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerTimeout {
    /// `None` for no limit.
    limit: Option<Duration>,
    /// A shortened pause was reported for this limit.
    is_reported: bool,
}

/// The longest pause under this limit. The rest is reserve for a requeue that is sent or received late.
pub(crate) fn pause_max(limit: Duration) -> Duration {
    limit / 5 * 4
}

impl ConsumerTimeout {
    /// [`Duration::MAX`] means unlimited.
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit: (limit != Duration::MAX).then_some(limit),
            is_reported: false,
        }
    }

    /// The longest that a message may be unsettled for the sake of a pause.
    pub(crate) fn pause_max(&self) -> Option<Duration> {
        self.limit.map(pause_max)
    }

    /// Takes over a limit from the broker's text, if it is shorter than the known one.
    pub(crate) fn learn(&mut self, limit: Option<Duration>) {
        if let Some(limit) = limit
            && self.limit.is_none_or(|known| limit < known)
        {
            self.limit = Some(limit);
            self.is_reported = false;
        }
    }

    /// Why the broker closed the channel, given the oldest message on it, and what to do.
    pub(crate) fn explain(&self, oldest: Option<OldestUnsettled>) -> String {
        match oldest {
            Some(OldestUnsettled::Paused(age)) => {
                let pause = self.pause_max().unwrap_or_default();
                format!(
                    "a failed message waited {age:.1?} for its requeue (`requeue_delay`, `RequeueAfter`), longer than the broker's `consumer_timeout` allows; from now on pauses end after {pause:.1?}: raise `consumer_timeout` at the broker, or use shorter pauses"
                )
            }
            Some(OldestUnsettled::InPipeline(age)) => format!(
                "a message was being handled for {age:.1?}, longer than the broker's `consumer_timeout` allows: raise that, or finish messages sooner"
            ),
            None => {
                "the broker's `consumer_timeout` expired: raise that, or finish messages sooner"
                    .to_owned()
            }
        }
    }

    /// The report of a shortened pause; `None` after the first for a limit.
    pub(crate) fn report_shortened(&mut self, pause: ShortenedPause) -> Option<String> {
        let limit = self.limit?;
        if std::mem::replace(&mut self.is_reported, true) {
            return None;
        }
        let ShortenedPause { requested, actual } = pause;
        Some(format!(
            "a failed message goes back into its queue after {actual:.1?} instead of {requested:?} (`requeue_delay`, `RequeueAfter`), as will others: the broker closes the channel if a message is unsettled for {limit:?} (its `consumer_timeout`); raise that and the option `consumer_timeout`, or use a queue with a time to live"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_limit_from_the_broker_shortens_pauses_and_never_prolongs_them() {
        let mut timeout = ConsumerTimeout::new(Duration::MAX);
        assert_eq!(timeout.pause_max(), None);
        timeout.learn(None);
        assert_eq!(timeout.pause_max(), None);
        timeout.learn(Some(10 * SECOND));
        timeout.learn(Some(20 * SECOND));
        assert_eq!(timeout.pause_max(), Some(8 * SECOND));
    }

    #[test]
    fn a_shortened_pause_is_reported_once_for_each_limit() {
        let mut timeout = ConsumerTimeout::new(100 * SECOND);
        let pause = ShortenedPause {
            requested: 120 * SECOND,
            actual: 79 * SECOND,
        };
        let report = timeout.report_shortened(pause).unwrap();
        for word in [
            "79.0s",
            "120s",
            "100s",
            "`consumer_timeout`",
            "`RequeueAfter`",
        ] {
            assert!(report.contains(word), "{word:?} is not in: {report}");
        }
        assert_eq!(timeout.report_shortened(pause), None);
        timeout.learn(Some(10 * SECOND));
        assert!(timeout.report_shortened(pause).is_some());
    }

    #[test]
    fn a_paused_message_is_not_reported_as_one_that_was_handled() {
        let timeout = ConsumerTimeout::new(10 * SECOND);
        let reason = timeout.explain(Some(OldestUnsettled::Paused(11 * SECOND)));
        assert!(
            reason.contains("`RequeueAfter`") && !reason.contains("being handled"),
            "{reason}"
        );
        let reason = timeout.explain(Some(OldestUnsettled::InPipeline(11 * SECOND)));
        assert!(reason.contains("being handled"), "{reason}");
    }
}
