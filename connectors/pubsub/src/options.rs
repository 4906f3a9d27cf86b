//! How messages are acknowledged ([`OnSuccess`], [`OnFailure`], and for one message [`AckOptions`]), and a subscription to create
//! ([`NewSubscription`]).

use std::time::Duration;

use broadway_core::connector::{self, AckChoice, AckPolicy};

/// The default pause of a failed message: the shortest backoff of a retry policy in Pub/Sub.
const NACK_PAUSE: Duration = Duration::from_secs(10);

/// What happens to a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// Acknowledges the message: the service does not deliver it again.
    #[default]
    Ack,
    /// Nacks it at once: the service delivers it again, following the subscription's retry policy.
    Nack,
    /// Keeps it under lease for this time, then nacks it.
    NackAfter(Duration),
}

/// What happens to a message that failed.
///
/// Leaving a message until its lease expires is not possible: the client nacks every message that it drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// Keeps the message under lease for this time, then nacks it; the subscription's retry policy, if it has one, adds its own
    /// backoff. The default, with 10 seconds.
    ///
    /// While it is kept, the message counts as outstanding: a source whose messages all fail slows down to
    /// [`outstanding_messages_max`](crate::PubSub::outstanding_messages_max) in this time instead of looping. Closing nacks it at
    /// once.
    NackAfter(Duration),
    /// Nacks the message at once. Without a retry policy the service delivers it again at once, as often as it fails, so use this
    /// only for subscriptions that have one.
    Nack,
    /// Acknowledges the message. It is lost unless you stored it elsewhere.
    Ack,
}

impl Default for OnFailure {
    fn default() -> Self {
        Self::NackAfter(NACK_PAUSE)
    }
}

/// How one message is acknowledged, for [`Message::configure_ack`](broadway_core::Message::configure_ack). A choice that is not set
/// stays as the source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_pubsub::{AckOptions, OnFailure};
///
/// let options = AckOptions::new().on_failure(OnFailure::NackAfter(Duration::from_secs(120)));
/// # let _ = options;
/// ```
pub type AckOptions = connector::AckOptions<OnSuccess, OnFailure>;

/// The choices of a source.
pub(crate) type PubSubAckPolicy = AckPolicy<OnSuccess, OnFailure>;

/// A subscription to create if it does not exist, for [`PubSub::create_if_missing`](crate::PubSub::create_if_missing).
#[derive(Debug, Clone)]
#[must_use = "give it to `PubSub::create_if_missing`"]
pub struct NewSubscription {
    pub(crate) topic: String,
    pub(crate) is_ordered: bool,
    pub(crate) is_exactly_once: bool,
}

impl NewSubscription {
    /// A subscription to this topic, which must exist: `projects/p/topics/t`.
    pub fn on(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            is_ordered: false,
            is_exactly_once: false,
        }
    }

    /// Enables message ordering: messages with the same ordering key are delivered in the order in which they were published.
    pub fn ordered(mut self) -> Self {
        self.is_ordered = true;
        self
    }

    /// Enables exactly-once delivery: after a confirmed acknowledgement, a message is not delivered again.
    pub fn exactly_once(mut self) -> Self {
        self.is_exactly_once = true;
        self
    }
}

/// What to do at the service with a settled message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckAction {
    Ack,
    Nack,
    NackAfter(Duration),
}

impl From<OnSuccess> for AckAction {
    fn from(choice: OnSuccess) -> Self {
        match choice {
            OnSuccess::Ack => Self::Ack,
            OnSuccess::Nack => Self::Nack,
            OnSuccess::NackAfter(delay) => Self::NackAfter(delay),
        }
    }
}

impl From<OnFailure> for AckAction {
    fn from(choice: OnFailure) -> Self {
        match choice {
            OnFailure::Ack => Self::Ack,
            OnFailure::Nack => Self::Nack,
            OnFailure::NackAfter(delay) => Self::NackAfter(delay),
        }
    }
}

impl From<AckChoice<OnSuccess, OnFailure>> for AckAction {
    fn from(choice: AckChoice<OnSuccess, OnFailure>) -> Self {
        match choice {
            AckChoice::Success(choice) => choice.into(),
            AckChoice::Failure(choice) => choice.into(),
            AckChoice::Release => Self::Nack,
            // It never comes as `Park`: `parks` is not implemented.
            AckChoice::Delay(time) | AckChoice::Park { pause: time, .. } => Self::NackAfter(time),
        }
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::{Callback, Outcome, Reason, Settled};

    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "it does not work"))
    }

    fn action(policy: PubSubAckPolicy, settled: &Settled<()>) -> AckAction {
        policy.choose(settled).into()
    }

    #[test]
    fn a_message_may_set_one_choice_and_keeps_the_other() {
        let policy = PubSubAckPolicy {
            on_success: OnSuccess::Nack,
            on_failure: OnFailure::Ack,
        };
        let own = AckOptions::new().on_failure(OnFailure::Nack);
        let action = |outcome| action(policy, &Settled::for_test((), outcome).with_options(own));
        assert_eq!(action(failed()), AckAction::Nack);
        assert_eq!(
            action(Outcome::Done),
            AckAction::Nack,
            "the source's choice"
        );
    }

    #[test]
    fn a_failed_message_is_neither_acknowledged_nor_nacked_at_once_by_default() {
        let settled = Settled::for_test((), failed());
        let action = action(PubSubAckPolicy::default(), &settled);
        assert_eq!(action, AckAction::NackAfter(NACK_PAUSE));
    }

    #[test]
    fn a_released_message_is_nacked_at_once() {
        let settled = Settled::for_test((), Outcome::Released);
        let action = action(PubSubAckPolicy::default(), &settled);
        assert_eq!(action, AckAction::Nack);
    }

    #[test]
    fn a_delayed_message_is_nacked_after_its_delay_whatever_the_policy() {
        let policy = PubSubAckPolicy {
            on_success: OnSuccess::Ack,
            on_failure: OnFailure::Ack,
        };
        let minute = Duration::from_secs(60);
        let settled = Settled::for_test((), Outcome::Delayed(minute));
        assert_eq!(action(policy, &settled), AckAction::NackAfter(minute));
    }
}
