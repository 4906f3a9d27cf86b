//! How a source acknowledges, and how one message differs: [`AckPolicy`], [`AckOptions`].

use std::time::Duration;

use crate::ack::{Outcome, Settled};

/// How one message is acknowledged, for [`Message::configure_ack`](crate::Message::configure_ack). A choice that is not set stays as
/// the source has it.
///
/// Each connector names its own choices, `OnSuccess` and `OnFailure`, and this type with them, as `AckOptions`.
///
/// ```
/// use broadway_core::connector::AckOptions;
///
/// # #[derive(Clone, Copy)]
/// enum OnSuccess { Delete }
/// # #[derive(Clone, Copy)]
/// enum OnFailure { Retry, Delete }
///
/// let options = AckOptions::<OnSuccess, OnFailure>::new().on_failure(OnFailure::Delete);
/// # let (_, _, _) = (options, OnSuccess::Delete, OnFailure::Retry);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "options take effect when they are given to `Message::configure_ack`"]
pub struct AckOptions<S, F> {
    on_success: Option<S>,
    on_failure: Option<F>,
}

impl<S, F> AckOptions<S, F> {
    /// No choice set.
    pub const fn new() -> Self {
        Self {
            on_success: None,
            on_failure: None,
        }
    }
}

impl<S: Copy, F: Copy> AckOptions<S, F> {
    /// What to do if this message succeeds.
    pub const fn on_success(mut self, on_success: S) -> Self {
        self.on_success = Some(on_success);
        self
    }

    /// What to do if this message fails.
    pub const fn on_failure(mut self, on_failure: F) -> Self {
        self.on_failure = Some(on_failure);
        self
    }
}

impl<S, F> Default for AckOptions<S, F> {
    fn default() -> Self {
        Self::new()
    }
}

/// How a source acknowledges messages for which no [`AckOptions`] were set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AckPolicy<S, F> {
    /// For messages that succeeded.
    pub on_success: S,
    /// For messages that failed.
    pub on_failure: F,
}

/// What to do with a message that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckChoice<S, F> {
    /// It succeeded.
    Success(S),
    /// It failed.
    Failure(F),
    /// It was [released](Outcome::Released) before a handler began it: make it available to other consumers at once.
    Release,
    /// It was [delayed](Outcome::Delayed): make it available to other consumers after this time.
    Delay(Duration),
    /// It was [parked](Outcome::Parked): as `Delay`, and keep the number of attempts with it. Only for a source whose
    /// [`parks`](crate::Acknowledger::parks) returns `true`.
    Park {
        /// How long it waits at least.
        pause: Duration,
        /// How often it was handled without success, for [`attempts`](crate::Acknowledger::attempts).
        attempts: u32,
    },
}

impl<S: Copy + 'static, F: Copy + 'static> AckPolicy<S, F> {
    /// The choice for a message: its own [`AckOptions`] where they are set, this policy otherwise.
    pub fn choose<K>(&self, settled: &Settled<K>) -> AckChoice<S, F> {
        let own = settled.options::<AckOptions<S, F>>().copied();
        let own = own.unwrap_or_default();
        match settled.outcome {
            Outcome::Done => AckChoice::Success(own.on_success.unwrap_or(self.on_success)),
            Outcome::Failed(_) => AckChoice::Failure(own.on_failure.unwrap_or(self.on_failure)),
            Outcome::Released => AckChoice::Release,
            Outcome::Delayed(time) => AckChoice::Delay(time),
            Outcome::Parked { pause, attempts } => AckChoice::Park { pause, attempts },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Callback, Reason};

    const POLICY: AckPolicy<&str, &str> = AckPolicy {
        on_success: "ack",
        on_failure: "retry",
    };

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "no"))
    }

    #[test]
    fn a_message_without_options_follows_the_policy() {
        let choose = |outcome| POLICY.choose(&Settled::for_test((), outcome));
        assert_eq!(choose(Outcome::Done), AckChoice::Success("ack"));
        assert_eq!(choose(failed()), AckChoice::Failure("retry"));
        assert_eq!(choose(Outcome::Released), AckChoice::Release);
        let minute = Duration::from_secs(60);
        assert_eq!(choose(Outcome::Delayed(minute)), AckChoice::Delay(minute));
        let (pause, attempts) = (minute, 3);
        let parked = choose(Outcome::Parked { pause, attempts });
        assert_eq!(parked, AckChoice::Park { pause, attempts });
    }

    #[test]
    fn a_message_may_set_one_choice_and_keep_the_other() {
        let own = AckOptions::<&str, &str>::new().on_failure("drop");
        let choose = |outcome| POLICY.choose(&Settled::for_test((), outcome).with_options(own));
        assert_eq!(choose(failed()), AckChoice::Failure("drop"));
        assert_eq!(choose(Outcome::Done), AckChoice::Success("ack"));
        assert_eq!(choose(Outcome::Released), AckChoice::Release);
        let delayed = Outcome::Delayed(Duration::ZERO);
        assert_eq!(choose(delayed), AckChoice::Delay(Duration::ZERO));
    }
}
