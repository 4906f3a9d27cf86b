//! What becomes of a message when it has succeeded or failed.

use std::time::Duration;

use broadway_core::Outcome;

use crate::leases::Ending;

/// What happens to a message that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnSuccess {
    /// It is deleted from the queue.
    #[default]
    Delete,
    /// Nothing: it comes again when its visibility ends.
    Leave,
    /// It comes again after this time, in whole seconds, rounded up; 12 hours at most.
    VisibleAfter(Duration),
}

/// What happens to a message that failed.
///
/// Whatever comes again counts: after `maxReceiveCount` deliveries SQS moves it to the dead-letter queue, where the queue has a
/// redrive policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// Nothing: it comes again when its visibility ends, between half of the visibility time-out and all of it from now.
    #[default]
    Leave,
    /// It comes again after this time, in whole seconds, rounded up; 12 hours at most. Zero is at once: where the failure is the
    /// message's own fault, that is a tight loop until the redrive policy ends it.
    VisibleAfter(Duration),
    /// It is deleted from the queue: lost, unless you have put it elsewhere.
    Delete,
}

/// How one message is to be acknowledged, for [`Message::configure_ack`](broadway_core::Message::configure_ack). What is not
/// set stays as the source has it.
///
/// ```
/// use std::time::Duration;
/// use broadway_sqs::{AckOptions, OnFailure};
///
/// let soon = AckOptions::new().on_failure(OnFailure::VisibleAfter(Duration::from_secs(5)));
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
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Policy {
    pub(crate) on_success: OnSuccess,
    pub(crate) on_failure: OnFailure,
}

/// The longest time that SQS hides a message.
pub(crate) const HIDDEN_MAX: Duration = Duration::from_secs(12 * 60 * 60);

impl Policy {
    /// What is said to the queue about a message that ended so.
    pub(crate) fn ending(&self, outcome: &Outcome, options: Option<&AckOptions>) -> Ending {
        let options = options.copied().unwrap_or_default();
        match outcome {
            Outcome::Done => match options.on_success.unwrap_or(self.on_success) {
                OnSuccess::Delete => Ending::Delete,
                OnSuccess::Leave => Ending::Leave,
                OnSuccess::VisibleAfter(time) => Ending::Visible(seconds(time)),
            },
            Outcome::Failed(_) => match options.on_failure.unwrap_or(self.on_failure) {
                OnFailure::Delete => Ending::Delete,
                OnFailure::Leave => Ending::Leave,
                OnFailure::VisibleAfter(time) => Ending::Visible(seconds(time)),
            },
            // Nobody began it: others may have it at once.
            _ => Ending::Visible(0),
        }
    }
}

/// Whole seconds, rounded up, within what SQS takes.
fn seconds(time: Duration) -> u32 {
    let rounded = time.min(HIDDEN_MAX).as_millis().div_ceil(1_000);
    u32::try_from(rounded).expect("12 hours at most")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use broadway_core::{Callback, Reason};

    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "no"))
    }

    #[test]
    fn a_success_is_deleted_and_a_failure_left_unless_told_otherwise() {
        let policy = Policy::default();
        assert_eq!(policy.ending(&Outcome::Done, None), Ending::Delete);
        assert_eq!(policy.ending(&failed(), None), Ending::Leave);
        assert_eq!(policy.ending(&Outcome::Released, None), Ending::Visible(0));
    }

    #[test]
    fn an_option_of_a_message_leaves_the_other_as_the_source_has_it() {
        let policy = Policy {
            on_success: OnSuccess::Leave,
            on_failure: OnFailure::Delete,
        };
        let options = AckOptions::new().on_failure(OnFailure::VisibleAfter(Duration::from_secs(7)));
        assert_eq!(policy.ending(&failed(), Some(&options)), Ending::Visible(7));
        assert_eq!(policy.ending(&Outcome::Done, Some(&options)), Ending::Leave);
    }

    #[test]
    fn times_are_rounded_up_to_seconds_and_cut_at_twelve_hours() {
        assert_eq!(seconds(Duration::ZERO), 0);
        assert_eq!(seconds(Duration::from_millis(1)), 1);
        assert_eq!(seconds(Duration::from_millis(2_000)), 2);
        assert_eq!(seconds(Duration::MAX), 43_200);
    }
}
