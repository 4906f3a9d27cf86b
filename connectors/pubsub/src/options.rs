//! What is said to the service when a message ends: [`OnSuccess`], [`OnFailure`], and for one message [`AckOptions`].

use std::time::Duration;

use broadway_core::Settled;

/// Pub/Sub's own shortest pause of a retry policy: what a failed message waits where nothing else is said.
const PAUSE: Duration = Duration::from_secs(10);

/// What is said of a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// It is acknowledged: the service forgets it.
    #[default]
    Ack,
    /// It is given back at once, and comes again as the subscription's retry policy says.
    Nack,
    /// It is kept under lease for this long and then given back.
    NackAfter(Duration),
}

/// What is said of a message that failed.
///
/// There is no way to leave it to its lease: the client gives back what it lets go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// It is kept under lease for this long and then given back; the subscription's retry policy, if it has one, adds its
    /// own pause. 10 seconds are the default.
    ///
    /// While it waits, it counts as outstanding: a source whose messages all fail slows down to
    /// [`max_outstanding_messages`](crate::PubSub::max_outstanding_messages) in this time, and never spins. Closing gives it back
    /// at once.
    NackAfter(Duration),
    /// It is given back at once. Without a retry policy the service sends it again at once, as often as it fails: only for
    /// subscriptions that have one.
    Nack,
    /// It is acknowledged, and so lost: for what was written to a place of your own.
    Ack,
}

impl Default for OnFailure {
    fn default() -> Self {
        Self::NackAfter(PAUSE)
    }
}

/// How one message is to be acknowledged, for [`Message::configure_ack`](broadway_core::Message::configure_ack). What is not
/// set stays as the source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_pubsub::{AckOptions, OnFailure};
///
/// let options = AckOptions::new().on_failure(OnFailure::NackAfter(Duration::from_secs(120)));
/// # let _ = options;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "options are given to `Message::configure_ack`"]
pub struct AckOptions {
    on_success: Option<OnSuccess>,
    on_failure: Option<OnFailure>,
}

impl AckOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is said if it succeeds.
    pub fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.on_success = Some(on_success);
        self
    }

    /// What is said if it fails.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = Some(on_failure);
        self
    }
}

/// What is said to the service, whatever the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ack,
    Nack,
    NackAfter(Duration),
}

impl From<OnSuccess> for Verdict {
    fn from(choice: OnSuccess) -> Self {
        match choice {
            OnSuccess::Ack => Self::Ack,
            OnSuccess::Nack => Self::Nack,
            OnSuccess::NackAfter(delay) => Self::NackAfter(delay),
        }
    }
}

impl From<OnFailure> for Verdict {
    fn from(choice: OnFailure) -> Self {
        match choice {
            OnFailure::Ack => Self::Ack,
            OnFailure::Nack => Self::Nack,
            OnFailure::NackAfter(delay) => Self::NackAfter(delay),
        }
    }
}

/// The choices of a source.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    pub(crate) on_success: OnSuccess,
    pub(crate) on_failure: OnFailure,
}

impl Policy {
    /// What is to be said of a message that has ended. One that nobody began goes back at once.
    pub(crate) fn verdict<K>(&self, settled: &Settled<K>) -> Verdict {
        let own = settled.options::<AckOptions>();
        if settled.outcome.is_done() {
            let own = own.and_then(|options| options.on_success);
            own.unwrap_or(self.on_success).into()
        } else if settled.outcome.is_failed() {
            let own = own.and_then(|options| options.on_failure);
            own.unwrap_or(self.on_failure).into()
        } else {
            Verdict::Nack
        }
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::{Callback, Outcome, Reason};

    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "it does not work"))
    }

    #[test]
    fn a_message_may_set_one_choice_and_keeps_the_other() {
        let policy = Policy {
            on_success: OnSuccess::Nack,
            on_failure: OnFailure::Ack,
        };
        let own = AckOptions::new().on_failure(OnFailure::Nack);
        let verdict = |outcome| policy.verdict(&Settled::for_test((), outcome).with_options(own));
        assert_eq!(verdict(failed()), Verdict::Nack);
        assert_eq!(
            verdict(Outcome::Done),
            Verdict::Nack,
            "as the source has it"
        );
    }

    #[test]
    fn a_failed_message_is_neither_acknowledged_nor_given_back_at_once_by_default() {
        let verdict = Policy::default().verdict(&Settled::for_test((), failed()));
        assert_eq!(verdict, Verdict::NackAfter(PAUSE));
    }

    #[test]
    fn what_nobody_began_goes_back_at_once() {
        let verdict = Policy::default().verdict(&Settled::for_test((), Outcome::Released));
        assert_eq!(verdict, Verdict::Nack);
    }
}
