//! [`FailureAction`]: the end of a message that is not retried, or not any more.

/// What happens to a failed message that is not retried, or not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum FailureAction {
    /// Sends the message to the dead letters, if the handler is wrapped in [`DeadLetters`](crate::DeadLetters). It is settled once the
    /// dead letter is confirmed. Without dead letters, the same as [`Reject`](Self::Reject).
    #[default]
    DeadLetter,
    /// Reports the failure to the source, whose own options decide: redelivery, the broker's dead-letter queue, a halted partition. No
    /// dead letter is sent.
    Reject,
    /// Reports the message to the source as done, although it failed: it is lost, except for logs and metrics.
    Skip,
    /// Ends the pipeline: it drains, and returns [`RunError::Halted`](crate::RunError::Halted). The message is reported as failed, and
    /// no dead letter is sent.
    Halt,
}

impl FailureAction {
    /// Returns the name in logs and metrics, such as `dead_letter`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letter",
            Self::Reject => "reject",
            Self::Skip => "skip",
            Self::Halt => "halt",
        }
    }
}
