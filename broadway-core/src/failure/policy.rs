//! [`FailurePolicy`]: whether a failed message is retried, and what happens to it otherwise.

use std::time::Duration;

use super::{ClassifiedError, FailureAction, Retry};
use crate::error::{Callback, Reason};

/// Whether failed messages are retried, and what happens to those that are not, or not any more.
///
/// Made of a [`Retry`] (`Retry::fixed(pause).then_dead_letter()`), or of a [`FailureAction`] alone. The default retries nothing, and
/// sends failures to the dead letters if there are some.
///
/// A handler overrides it for one error with a [`ClassifiedError`].
#[derive(Debug, Clone, Default)]
#[must_use = "give it to `Pipeline::on_failure` or `Batching::on_failure`"]
pub struct FailurePolicy {
    pub(crate) retry: Option<Retry>,
    pub(crate) action: FailureAction,
}

/// What happens to one failed message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is handled again after this pause.
    Retry(Duration),
    /// The same, but without counting as an attempt: its handler asked for it.
    Postpone(Duration),
    /// It is not retried.
    End(FailureAction),
}

impl FailurePolicy {
    /// Returns the policy's action for messages that are not retried.
    #[must_use]
    pub fn action(&self) -> FailureAction {
        self.action
    }

    /// Returns when messages are retried, if they are.
    #[must_use]
    pub fn retry(&self) -> Option<&Retry> {
        self.retry.as_ref()
    }

    /// Whether a retry with this pause waits at its source, if that can park it.
    pub(crate) fn parks(&self, pause: Duration) -> bool {
        let park_after = self.retry.as_ref().and_then(|retry| retry.park_after);
        park_after.is_some_and(|shortest| pause >= shortest)
    }

    /// Decides about a message that has been handled `attempts` times, `elapsed` after its delivery.
    pub(crate) fn decide(
        &self,
        reason: &Reason,
        attempts: u32,
        elapsed: Duration,
        jitter: u64,
    ) -> Verdict {
        let classified = reason
            .boxed()
            .and_then(|error| ClassifiedError::find(error));
        let action = classified.and_then(ClassifiedError::action);
        let end = Verdict::End(action.unwrap_or(self.action));
        let pause = classified.and_then(ClassifiedError::pause);
        if let (Some(pause), true) = (pause, reason.callback() == Callback::HandleMessage)
            && classified.is_some_and(ClassifiedError::is_postponed)
        {
            return Verdict::Postpone(pause);
        }
        // Without its key a message would come back out of order, and without its size it would pass a limit.
        if matches!(
            reason.callback(),
            Callback::PartitionBy | Callback::SizeOf | Callback::Batching
        ) {
            return end;
        }
        let Some(retry) = &self.retry else {
            return end;
        };
        if !retry.applies_to(reason) {
            return end;
        }
        let pause = retry.schedule.next(attempts, elapsed, pause, jitter);
        pause.map_or(end, Verdict::Retry)
    }
}

impl Retry {
    /// Sets what happens to messages that are not retried, or not any more.
    pub fn then(self, action: FailureAction) -> FailurePolicy {
        FailurePolicy {
            retry: Some(self),
            action,
        }
    }

    /// The same as `then(FailureAction::DeadLetter)`.
    pub fn then_dead_letter(self) -> FailurePolicy {
        self.then(FailureAction::DeadLetter)
    }

    /// The same as `then(FailureAction::Reject)`.
    pub fn then_reject(self) -> FailurePolicy {
        self.then(FailureAction::Reject)
    }

    /// The same as `then(FailureAction::Skip)`.
    pub fn then_skip(self) -> FailurePolicy {
        self.then(FailureAction::Skip)
    }

    /// The same as `then(FailureAction::Halt)`.
    pub fn then_halt(self) -> FailurePolicy {
        self.then(FailureAction::Halt)
    }
}

impl From<Retry> for FailurePolicy {
    fn from(retry: Retry) -> Self {
        retry.then_dead_letter()
    }
}

impl From<FailureAction> for FailurePolicy {
    fn from(action: FailureAction) -> Self {
        Self {
            retry: None,
            action,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::BoxError,
        failure::{permanent, poison, postpone, transient},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn decide(policy: &FailurePolicy, error: BoxError, attempts: u32) -> Verdict {
        let reason = Reason::error(Callback::HandleMessage, error);
        policy.decide(&reason, attempts, Duration::ZERO, u64::MAX)
    }

    #[test]
    fn transient_errors_are_retried_until_the_attempts_are_used_up() {
        let policy = Retry::fixed(SECOND).attempts(3).then_reject();
        let verdict = |attempts| decide(&policy, "busy".into(), attempts);
        assert_eq!(verdict(1), Verdict::Retry(SECOND));
        assert_eq!(verdict(2), Verdict::Retry(SECOND));
        assert_eq!(verdict(3), Verdict::End(FailureAction::Reject));
    }

    #[test]
    fn permanent_errors_and_panics_are_not_retried() {
        let policy = FailurePolicy::from(Retry::fixed(SECOND));
        let end = Verdict::End(FailureAction::DeadLetter);
        assert_eq!(decide(&policy, permanent("no"), 1), end);
        assert_eq!(decide(&policy, poison("no"), 1), end);
        let panic = Reason::panic(Callback::HandleMessage, Box::new("boom"));
        let verdict = policy.decide(&panic, 1, Duration::ZERO, u64::MAX);
        assert_eq!(verdict, end);
    }

    #[test]
    fn pauses_from_park_after_on_are_parked() {
        let parks = |retry: Retry| {
            [SECOND / 2, SECOND, 2 * SECOND].map(|pause| retry.clone().then_reject().parks(pause))
        };
        assert_eq!(parks(Retry::fixed(SECOND)), [false; 3]);
        assert_eq!(
            parks(Retry::fixed(SECOND).park_after(SECOND)),
            [false, true, true]
        );
        assert_eq!(
            parks(Retry::fixed(SECOND).park_after(Duration::ZERO)),
            [true; 3]
        );
        assert!(!FailurePolicy::default().parks(Duration::MAX));
    }

    #[test]
    fn an_error_overrides_pause_and_action() {
        let policy = Retry::fixed(SECOND).attempts(2).then_reject();
        let error = || {
            ClassifiedError::transient("busy")
                .retry_after(7 * SECOND)
                .then(FailureAction::Skip)
                .into()
        };
        assert_eq!(decide(&policy, error(), 1), Verdict::Retry(7 * SECOND));
        assert_eq!(
            decide(&policy, error(), 2),
            Verdict::End(FailureAction::Skip)
        );
    }

    #[test]
    fn a_message_whose_key_or_size_is_unknown_is_never_retried() {
        let all = Retry::fixed(SECOND).when(|_| true).then_reject();
        for callback in [Callback::PartitionBy, Callback::SizeOf, Callback::Batching] {
            let panic = Reason::panic(callback, Box::new("boom"));
            let verdict = all.decide(&panic, 1, Duration::ZERO, u64::MAX);
            assert_eq!(verdict, Verdict::End(FailureAction::Reject));
        }
    }

    #[test]
    fn a_postponed_message_waits_without_a_policy_and_without_end() {
        let none = FailurePolicy::default();
        let verdict = decide(&none, postpone(SECOND), u32::MAX);
        assert_eq!(verdict, Verdict::Postpone(SECOND));
        let in_a_batch = Reason::error(Callback::HandleBatch, postpone(SECOND));
        let verdict = none.decide(&in_a_batch, 1, Duration::ZERO, u64::MAX);
        assert_eq!(verdict, Verdict::End(FailureAction::DeadLetter));
    }

    #[test]
    fn a_condition_replaces_the_class_and_its_panic_retries_nothing() {
        let all = Retry::fixed(SECOND).when(|_| true).then_reject();
        assert_eq!(decide(&all, poison("no"), 1), Verdict::Retry(SECOND));
        let defect = Retry::fixed(SECOND).when(|_| panic!("boom")).then_reject();
        assert_eq!(
            decide(&defect, transient("busy"), 1),
            Verdict::End(FailureAction::Reject)
        );
    }
}
