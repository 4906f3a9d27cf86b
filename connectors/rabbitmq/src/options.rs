//! How messages are settled: [`OnSuccess`], [`OnFailure`], [`OnUnreadable`], and [`AckOptions`] for one message.

use std::time::Duration;

use broadway_core::{
    Settled,
    connector::{AckChoice, AckPolicy},
};

use crate::unsettled::{Settlement, Token};

/// What to do with a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// Acknowledge it.
    #[default]
    Ack,
    /// Reject it: RabbitMQ drops it, or moves it to the queue's dead-letter exchange.
    Reject,
    /// Return it to its queue, after the source's [`requeue_delay`](crate::RabbitMq::requeue_delay).
    Requeue,
}

/// What to do with a message that failed.
///
/// A quorum queue counts the messages that are returned to it. Beyond its delivery limit a message is dropped, or moved to the queue's
/// dead-letter exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// Return it to its queue, after the source's [`requeue_delay`](crate::RabbitMq::requeue_delay). RabbitMQ puts it back to its
    /// original position if possible.
    #[default]
    Requeue,
    /// Like `Requeue`, after this time. Zero means immediately: a message that always fails then loops without a pause.
    RequeueAfter(Duration),
    /// Like `Requeue` at the first delivery, like `Reject` at later ones.
    RequeueOnce,
    /// Reject it: RabbitMQ moves it to the queue's dead-letter exchange, or drops it if the queue has none. In a stream, the source reads
    /// on after it.
    Reject,
    /// Acknowledge it. It is lost unless you have stored it elsewhere.
    Ack,
}

/// What to do with a message that the client cannot read.
///
/// RabbitMQ accepts any bytes as the name of a header, a short property or a routing key, and more types of header values than the client
/// can decode; the client requires UTF-8. Other messages are read as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnUnreadable {
    /// Stop reading, wait until the pipeline has settled its messages, and fail with an error that names the message. `Halted` reports
    /// it. The message goes back into its queue, and the pipeline opens the source again as its restart policy allows.
    #[default]
    Halt,
    /// Reject it unchanged: RabbitMQ moves it to the queue's dead-letter exchange, or drops it if the queue has none. In a stream, the
    /// source reads on after it. `SourceError` reports each one.
    Reject,
    /// Handle it like any other message, with `?` for each byte that is not part of a UTF-8 character, and with one header `?` that holds
    /// the bytes of headers that cannot be decoded. `SourceError` reports each one.
    Mend,
}

/// How one message is settled, for [`Message::configure_ack`](broadway_core::Message::configure_ack). A choice that is not set stays as
/// the source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_rabbitmq::{AckOptions, OnFailure};
///
/// let soon = AckOptions::new().on_failure(OnFailure::RequeueAfter(Duration::from_secs(5)));
/// # let _ = soon;
/// ```
pub type AckOptions = broadway_core::connector::AckOptions<OnSuccess, OnFailure>;

/// How a source settles messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettlementPolicy {
    pub(crate) acks: AckPolicy<OnSuccess, OnFailure>,
    pub(crate) requeue_delay: Duration,
}

/// Longer pauses count as this one. It is as good as forever, and adding it to a time does not overflow.
const PAUSE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl SettlementPolicy {
    /// How to settle a message with this outcome and these options.
    pub(crate) fn settlement(&self, settled: &Settled<Token>) -> Settlement {
        let later = self.later();
        match self.acks.choose(settled) {
            AckChoice::Success(choice) => self.of_success(choice),
            AckChoice::Failure(OnFailure::Requeue) => later,
            AckChoice::Failure(OnFailure::RequeueAfter(pause)) => {
                Settlement::RequeueAfter(pause.min(PAUSE_MAX))
            }
            AckChoice::Failure(OnFailure::RequeueOnce) if settled.token.redelivered => {
                Settlement::Reject
            }
            AckChoice::Failure(OnFailure::RequeueOnce) => later,
            AckChoice::Failure(OnFailure::Reject) => Settlement::Reject,
            AckChoice::Failure(OnFailure::Ack) => Settlement::Ack,
            // No handler began it, so another consumer can have it without a pause.
            AckChoice::Release => Settlement::Requeue,
            // It never comes as `Park`: `parks` is not implemented.
            AckChoice::Delay(time) | AckChoice::Park { pause: time, .. } => {
                Settlement::RequeueAfter(time.min(PAUSE_MAX))
            }
        }
    }

    /// How to settle messages that succeeded and have no options.
    pub(crate) fn of_done(&self) -> Settlement {
        self.of_success(self.acks.on_success)
    }

    fn of_success(&self, choice: OnSuccess) -> Settlement {
        match choice {
            OnSuccess::Ack => Settlement::Ack,
            OnSuccess::Reject => Settlement::Reject,
            OnSuccess::Requeue => self.later(),
        }
    }

    fn later(&self) -> Settlement {
        Settlement::RequeueAfter(self.requeue_delay.min(PAUSE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::{Callback, Outcome, Reason};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "no"))
    }

    fn policy(on_failure: OnFailure) -> SettlementPolicy {
        SettlementPolicy {
            acks: AckPolicy {
                on_success: OnSuccess::Ack,
                on_failure,
            },
            requeue_delay: SECOND,
        }
    }

    fn settled(outcome: Outcome, redelivered: bool) -> Settled<Token> {
        let token = Token {
            generation: 0,
            tag: 1,
            redelivered,
        };
        Settled::for_test(token, outcome)
    }

    #[test]
    fn a_success_is_acknowledged_and_a_failure_requeued_by_default() {
        let policy = policy(OnFailure::default());
        let settlement = |outcome, redelivered| policy.settlement(&settled(outcome, redelivered));
        assert_eq!(settlement(Outcome::Done, false), Settlement::Ack);
        assert_eq!(settlement(failed(), true), Settlement::RequeueAfter(SECOND));
        assert_eq!(settlement(Outcome::Released, false), Settlement::Requeue);
        let delayed = settlement(Outcome::Delayed(SECOND * 5), true);
        assert_eq!(delayed, Settlement::RequeueAfter(SECOND * 5));
    }

    #[test]
    fn requeue_once_rejects_a_message_that_was_redelivered() {
        let policy = policy(OnFailure::RequeueOnce);
        let settlement = |redelivered| policy.settlement(&settled(failed(), redelivered));
        assert_eq!(settlement(false), Settlement::RequeueAfter(SECOND));
        assert_eq!(settlement(true), Settlement::Reject);
    }

    #[test]
    fn an_option_of_a_message_leaves_the_other_as_the_source_has_it() {
        let mut policy = policy(OnFailure::Ack);
        policy.acks.on_success = OnSuccess::Reject;
        let own = AckOptions::new().on_failure(OnFailure::RequeueAfter(Duration::ZERO));
        let settlement = |outcome| policy.settlement(&settled(outcome, false).with_options(own));
        assert_eq!(
            settlement(failed()),
            Settlement::RequeueAfter(Duration::ZERO)
        );
        assert_eq!(settlement(Outcome::Done), Settlement::Reject);
    }
}
