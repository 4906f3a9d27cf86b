//! Split functions: [`Split`] for users, and the adapter to the batching machine.

use std::sync::Arc;

use crate::{
    caught::guarded,
    machine::batcher::{SplitDecision, Splitter},
};

/// What a function given to [`Batching::split`](crate::Batching::split) returns for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Split {
    /// The message belongs to the batch, which stays open.
    Continue,
    /// The message is the last of its batch.
    Emit,
}

/// Creates the split function of a new batch key.
pub(super) type SplitBy<T> = Arc<dyn Fn() -> SplitFn<T> + Send + Sync>;
/// The split function of one batch key.
pub(super) type SplitFn<T> = Box<dyn FnMut(&T) -> Split + Send>;

/// The user's split function, if there is one. If it panics, the machine refuses the message, which then fails.
pub(super) struct UserSplit<T> {
    split: Option<SplitBy<T>>,
}

impl<T> UserSplit<T> {
    pub(super) fn new(split: Option<SplitBy<T>>) -> Self {
        Self { split }
    }
}

/// An item that contains the data which a split function sees.
pub(super) trait HasData {
    type Data;
    fn data(&self) -> &Self::Data;
}

impl<I: HasData<Data = T>, T> Splitter<I> for UserSplit<T> {
    type State = Option<SplitFn<T>>;

    fn keeps_state(&self) -> bool {
        self.split.is_some()
    }

    fn never_splits(&self) -> bool {
        self.split.is_none()
    }

    fn start(&self) -> Self::State {
        let split = self.split.as_ref()?;
        guarded(|| split()).ok()
    }

    fn split(&self, state: &mut Self::State, item: &I) -> SplitDecision {
        let Some(split) = state else {
            // No state although there is a function: it panicked when it was created, so all messages of the key are refused.
            let failed_to_start = self.split.is_some();
            return if failed_to_start {
                SplitDecision::Refuse
            } else {
                SplitDecision::Continue
            };
        };
        match guarded(|| split(item.data())) {
            Ok(Split::Continue) => SplitDecision::Continue,
            Ok(Split::Emit) => SplitDecision::Emit,
            Err(_panic) => SplitDecision::Refuse,
        }
    }
}
