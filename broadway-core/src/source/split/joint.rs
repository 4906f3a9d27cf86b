//! [`PartToken`]: a share of the settlement of an item that was split.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    ack::{Outcome, Settled},
    message::AckOptions,
};

/// The token of a part. The parts of one item share the token of the item.
pub struct PartToken<K> {
    /// `None` once it has ended.
    joint: Option<Arc<Joint<K>>>,
    is_begun: AtomicBool,
}

struct Joint<K>(Mutex<JointState<K>>);

pub(super) struct JointState<K> {
    pub(super) token: K,
    outcome: Outcome,
    options: AckOptions,
    /// Whether a handler has begun any of the parts.
    pub(super) is_begun: bool,
    /// A share was dropped without an outcome, so the item has none: it stays unsettled.
    is_abandoned: bool,
}

impl<K> JointState<K> {
    pub(super) fn is_released(&self) -> bool {
        matches!(self.outcome, Outcome::Released)
    }

    /// Adds the outcome of one share.
    fn add(&mut self, outcome: Outcome, options: AckOptions) {
        // Parts cannot be parked, and attempts at one part are not attempts at the item.
        let outcome = match outcome {
            Outcome::Parked { pause, .. } => Outcome::Delayed(pause),
            outcome => outcome,
        };
        let (new, old) = (weight(&outcome), weight(&self.outcome));
        if new > old {
            self.outcome = outcome;
            self.options = options;
        } else if new == old {
            if let (Outcome::Delayed(longest), Outcome::Delayed(time)) =
                (&mut self.outcome, &outcome)
            {
                *longest = (*longest).max(*time);
            }
            self.options = options.or(self.options.take());
        }
    }

    fn into_settled(self) -> Option<Settled<K>> {
        (!self.is_abandoned).then(|| Settled::new(self.token, self.outcome, self.options))
    }
}

/// Which outcome of a part is the outcome of its item: the heaviest. A part that was not handled weighs more than one that failed: a
/// source may drop an item that failed, which must not happen to parts that no handler has begun.
fn weight(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Done => 0,
        Outcome::Failed(_) => 1,
        Outcome::Delayed(_) | Outcome::Parked { .. } => 2,
        Outcome::Released => 3,
    }
}

impl<K> PartToken<K> {
    /// The only share of an item.
    pub(super) fn new(token: K) -> Self {
        let state = JointState {
            token,
            outcome: Outcome::Done,
            options: None,
            is_begun: false,
            is_abandoned: false,
        };
        Self::of(Some(Arc::new(Joint(Mutex::new(state)))))
    }

    fn of(joint: Option<Arc<Joint<K>>>) -> Self {
        let is_begun = AtomicBool::new(false);
        Self { joint, is_begun }
    }

    /// Another share of the same item.
    pub(super) fn share(&self) -> Self {
        Self::of(self.joint.clone())
    }

    /// Ends this share. Returns the settlement of the item if it was the last one.
    pub(super) fn end(mut self, outcome: Outcome, options: AckOptions) -> Option<Settled<K>> {
        let joint = self.joint.take()?;
        joint.lock().add(outcome, options);
        // Returns the value to exactly one of the threads that end the last shares.
        let Joint(state) = Arc::into_inner(joint)?;
        let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.into_settled()
    }

    /// Whether a handler has begun this part.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun.load(Ordering::Relaxed)
    }

    pub(super) fn set_begun(&self) {
        self.is_begun.store(true, Ordering::Relaxed);
    }

    /// Calls `f` with what the shares have in common.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut JointState<K>) -> R) -> Option<R> {
        self.joint.as_ref().map(|joint| f(&mut joint.lock()))
    }
}

impl<K> Joint<K> {
    fn lock(&self) -> MutexGuard<'_, JointState<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Drop for PartToken<K> {
    fn drop(&mut self) {
        // Otherwise the other shares would settle the item although this part was never handled.
        self.with(|state| state.is_abandoned = true);
    }
}

impl<K> fmt::Debug for PartToken<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartToken").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::error::{Callback, Reason};

    fn failed() -> Outcome {
        Outcome::Failed(Reason::error(Callback::HandleMessage, "bad"))
    }

    /// Done, failed, delayed and released, and `None` for a share that is dropped.
    fn outcomes() -> impl Strategy<Value = Option<u8>> {
        prop_oneof![12 => (0_u8..4).prop_map(Some), 1 => Just(None)]
    }

    fn outcome(kind: u8) -> Outcome {
        match kind {
            0 => Outcome::Done,
            1 => failed(),
            2 => Outcome::Delayed(Duration::from_secs(5)),
            _ => Outcome::Released,
        }
    }

    proptest! {
        #[test]
        fn the_heaviest_outcome_counts_and_settles_once(
            shares in proptest::collection::vec(outcomes(), 1..12),
        ) {
            let first = PartToken::new(7);
            let mut tokens: Vec<_> = (1..shares.len()).map(|_| first.share()).collect();
            tokens.push(first);
            let mut settled = Vec::new();
            for (token, share) in tokens.into_iter().zip(&shares) {
                if let Some(kind) = share {
                    settled.extend(token.end(outcome(*kind), None));
                }
            }
            let all: Option<Vec<_>> = shares.iter().copied().collect();
            let expected = all.and_then(|all| all.into_iter().max());
            let kinds: Vec<_> = settled.iter().map(|one| (one.token, weight(&one.outcome))).collect();
            prop_assert_eq!(kinds, expected.map(|kind| (7, kind)).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_options_of_the_outcome_that_counts_are_kept() {
        let options = |n: u8| -> AckOptions { Some(Box::new(Box::new(n))) };
        let last = PartToken::new(7);
        let done = last.share();
        let (second, third) = (last.share(), last.share());
        assert!(done.end(Outcome::Done, options(1)).is_none());
        assert!(second.end(failed(), options(2)).is_none());
        assert!(third.end(Outcome::Done, options(3)).is_none());
        let settled = last.end(failed(), None).unwrap();
        assert!(settled.outcome.is_failed());
        assert_eq!(settled.options::<u8>(), Some(&2));
    }
}
