//! How messages are acknowledged: [`OnSuccess`], [`OnFailure`], and for one message [`AckOptions`].

use std::time::Duration;

use broadway_core::connector::{self, AckChoice, AckPolicy};

use crate::leases::AckAction;

/// The longest time that SQS hides a message.
pub(crate) const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// What happens to a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// Deletes the message from the queue.
    #[default]
    Delete,
    /// Leaves it: SQS delivers it again when its visibility timeout ends.
    Leave,
    /// Makes it visible again after this time, in whole seconds, rounded up, at most 12 hours.
    VisibleAfter(Duration),
}

/// What happens to a message that failed.
///
/// Each further delivery counts: a queue with a redrive policy moves the message to its dead-letter queue after `maxReceiveCount`
/// deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// Leaves the message: SQS delivers it again when its visibility timeout ends, between half of that timeout and all of it from
    /// now.
    #[default]
    Leave,
    /// Makes it visible again after this time, in whole seconds, rounded up, at most 12 hours. Zero means at once: if the message
    /// always fails, that is a tight loop until the redrive policy ends it.
    VisibleAfter(Duration),
    /// Deletes the message from the queue. It is lost unless you stored it elsewhere.
    Delete,
}

/// How one message is acknowledged, for [`Message::configure_ack`](broadway_core::Message::configure_ack). A choice that is not set
/// stays as the source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_sqs::{AckOptions, OnFailure};
///
/// let soon = AckOptions::new().on_failure(OnFailure::VisibleAfter(Duration::from_secs(5)));
/// # let _ = soon;
/// ```
pub type AckOptions = connector::AckOptions<OnSuccess, OnFailure>;

/// The choices of a source.
pub(crate) type SqsAckPolicy = AckPolicy<OnSuccess, OnFailure>;

impl From<AckChoice<OnSuccess, OnFailure>> for AckAction {
    fn from(choice: AckChoice<OnSuccess, OnFailure>) -> Self {
        match choice {
            AckChoice::Success(OnSuccess::Delete) | AckChoice::Failure(OnFailure::Delete) => {
                Self::Delete
            }
            AckChoice::Success(OnSuccess::Leave) | AckChoice::Failure(OnFailure::Leave) => {
                Self::Leave
            }
            AckChoice::Success(OnSuccess::VisibleAfter(time))
            | AckChoice::Failure(OnFailure::VisibleAfter(time)) => {
                Self::VisibleAfter(whole_seconds(time))
            }
            AckChoice::Release => Self::VisibleAfter(0),
            // It never comes as `Park`: `parks` is not implemented.
            AckChoice::Delay(time) | AckChoice::Park { pause: time, .. } => {
                Self::VisibleAfter(whole_seconds(time))
            }
        }
    }
}

/// Whole seconds, rounded up, within the limits of SQS.
fn whole_seconds(time: Duration) -> u32 {
    let rounded = time.min(VISIBILITY_MAX).as_millis().div_ceil(1_000);
    u32::try_from(rounded).expect("12 hours at most")
}

#[cfg(test)]
mod tests {
    use broadway_core::{Callback, Outcome, Reason, Settled};

    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "no"))
    }

    #[test]
    fn a_success_is_deleted_and_a_failure_left_by_default() {
        let policy = SqsAckPolicy::default();
        let action = |outcome| AckAction::from(policy.choose(&Settled::for_test((), outcome)));
        assert_eq!(action(Outcome::Done), AckAction::Delete);
        assert_eq!(action(failed()), AckAction::Leave);
        assert_eq!(action(Outcome::Released), AckAction::VisibleAfter(0));
        let delayed = Outcome::Delayed(Duration::from_millis(1_500));
        assert_eq!(action(delayed), AckAction::VisibleAfter(2));
    }

    #[test]
    fn an_option_of_a_message_leaves_the_other_as_the_source_has_it() {
        let policy = SqsAckPolicy {
            on_success: OnSuccess::Leave,
            on_failure: OnFailure::Delete,
        };
        let options = AckOptions::new().on_failure(OnFailure::VisibleAfter(Duration::from_secs(7)));
        let action = |outcome| {
            let settled = Settled::for_test((), outcome).with_options(options);
            AckAction::from(policy.choose(&settled))
        };
        assert_eq!(action(failed()), AckAction::VisibleAfter(7));
        assert_eq!(action(Outcome::Done), AckAction::Leave);
    }

    #[test]
    fn times_are_rounded_up_to_seconds_and_cut_at_twelve_hours() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(2_000)), 2);
        assert_eq!(whole_seconds(Duration::MAX), 43_200);
    }
}
