//! What becomes of a message when it has succeeded or failed.

use std::time::Duration;

use broadway_core::Outcome;

use crate::unsettled::Settlement;

/// What happens to a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// It is acknowledged.
    #[default]
    Ack,
    /// It is rejected: dropped, or moved to the queue's dead-letter exchange.
    Reject,
    /// It goes back into its queue, after the source's [`requeue_delay`](crate::RabbitMq::requeue_delay).
    Requeue,
}

/// What happens to a message that failed.
///
/// A quorum queue counts what goes back: beyond its delivery limit a message is dropped, or moved to the queue's dead-letter
/// exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// It goes back into its queue, after the source's [`requeue_delay`](crate::RabbitMq::requeue_delay). RabbitMQ puts it where it
    /// stood, as far as it can.
    #[default]
    Requeue,
    /// As `Requeue`, after this time. Zero is at once: what never succeeds is then a tight loop.
    RequeueAfter(Duration),
    /// As `Requeue` when this was its first delivery, as `Reject` otherwise.
    RequeueOnce,
    /// It is rejected: moved to the queue's dead-letter exchange, or lost where the queue has none. A stream passes it over.
    Reject,
    /// It is acknowledged: lost, unless you have put it elsewhere.
    Ack,
}

/// What happens to a message that the client cannot read: the broker takes a header's name, a short property or a routing key for
/// bytes, the client for text (UTF-8), and it knows fewer kinds of values. Messages beside it are read as usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnUnreadable {
    /// The source reads nothing more, lets the pipeline end what it has, and fails with an error that names the message. The message
    /// goes back to its queue; the pipeline opens the source again by its restart policy. `Halted` tells it.
    #[default]
    Halt,
    /// It is rejected: moved to the queue's dead-letter exchange as it is, or lost where the queue has none. A stream passes it over.
    /// `SourceTrouble` tells each.
    Reject,
    /// It is handled as any other, with `?` for each byte that belongs to no character, and one header `?` that holds the bytes of
    /// headers that cannot be read. `SourceTrouble` tells each.
    Mend,
}

/// How one message is to be acknowledged, for [`Message::configure_ack`](broadway_core::Message::configure_ack). What is not
/// set stays as the source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_rabbitmq::{AckOptions, OnFailure};
///
/// let soon = AckOptions::new().on_failure(OnFailure::RequeueAfter(Duration::from_secs(5)));
/// # let _ = soon;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "options have an effect when they are given to a message"]
pub struct AckOptions {
    on_success: Option<OnSuccess>,
    on_failure: Option<OnFailure>,
}

impl AckOptions {
    /// Everything as the source has it.
    pub const fn new() -> Self {
        Self {
            on_success: None,
            on_failure: None,
        }
    }

    /// What happens if this message succeeds.
    pub const fn on_success(mut self, on_success: OnSuccess) -> Self {
        self.on_success = Some(on_success);
        self
    }

    /// What happens if this message fails.
    pub const fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.on_failure = Some(on_failure);
        self
    }
}

/// The policy of a source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) on_success: OnSuccess,
    pub(crate) on_failure: OnFailure,
    pub(crate) requeue_delay: Duration,
}

/// A pause beyond this is as good as never, and sums with it do not overflow.
const PAUSE_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl Policy {
    /// What is said to the broker about a message that ended so.
    pub(crate) fn ending(
        &self,
        outcome: &Outcome,
        options: Option<&AckOptions>,
        redelivered: bool,
    ) -> Settlement {
        let options = options.copied().unwrap_or_default();
        let later = Settlement::RequeueAfter(self.requeue_delay.min(PAUSE_MAX));
        match outcome {
            Outcome::Done => match options.on_success.unwrap_or(self.on_success) {
                OnSuccess::Ack => Settlement::Ack,
                OnSuccess::Reject => Settlement::Reject,
                OnSuccess::Requeue => later,
            },
            Outcome::Failed(_) => match options.on_failure.unwrap_or(self.on_failure) {
                OnFailure::Requeue => later,
                OnFailure::RequeueAfter(pause) => Settlement::RequeueAfter(pause.min(PAUSE_MAX)),
                OnFailure::RequeueOnce if redelivered => Settlement::Reject,
                OnFailure::RequeueOnce => later,
                OnFailure::Reject => Settlement::Reject,
                OnFailure::Ack => Settlement::Ack,
            },
            // Nobody began it: others may have it at once.
            _ => Settlement::Requeue,
        }
    }
}

#[cfg(test)]
mod tests {
    use broadway_core::{Callback, Reason};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "no"))
    }

    fn policy(on_failure: OnFailure) -> Policy {
        Policy {
            on_success: OnSuccess::Ack,
            on_failure,
            requeue_delay: SECOND,
        }
    }

    #[test]
    fn a_success_is_acknowledged_and_a_failure_requeued_unless_told_otherwise() {
        let policy = policy(OnFailure::default());
        assert_eq!(policy.ending(&Outcome::Done, None, false), Settlement::Ack);
        assert_eq!(
            policy.ending(&failed(), None, true),
            Settlement::RequeueAfter(SECOND)
        );
        assert_eq!(
            policy.ending(&Outcome::Released, None, false),
            Settlement::Requeue
        );
    }

    #[test]
    fn once_is_once() {
        let policy = policy(OnFailure::RequeueOnce);
        assert_eq!(
            policy.ending(&failed(), None, false),
            Settlement::RequeueAfter(SECOND)
        );
        assert_eq!(policy.ending(&failed(), None, true), Settlement::Reject);
    }

    #[test]
    fn an_option_of_a_message_leaves_the_other_as_the_source_has_it() {
        let policy = Policy {
            on_success: OnSuccess::Reject,
            ..policy(OnFailure::Ack)
        };
        let options = AckOptions::new().on_failure(OnFailure::RequeueAfter(Duration::ZERO));
        assert_eq!(
            policy.ending(&failed(), Some(&options), false),
            Settlement::RequeueAfter(Duration::ZERO)
        );
        assert_eq!(
            policy.ending(&Outcome::Done, Some(&options), false),
            Settlement::Reject
        );
    }
}
