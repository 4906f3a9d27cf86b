//! User functions that end batches, as a splitter of the batching machine.

use std::sync::Arc;

use crate::{
    caught::guarded,
    machine::batcher::{self, Splitter},
};

/// What a function given to [`Batching::split`](crate::Batching::split) says about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// It belongs to the batch, which goes on.
    Continue,
    /// It is the last of its batch.
    Emit,
}

/// Makes the splitter of a new key.
pub(super) type SplitBy<T> = Arc<dyn Fn() -> SplitFn<T> + Send + Sync>;
/// The splitter of one key.
pub(super) type SplitFn<T> = Box<dyn FnMut(&T) -> Split + Send>;

/// The user's function, or none. A panic refuses the message at hand.
pub(super) struct UserSplit<T> {
    split: Option<SplitBy<T>>,
}

impl<T> UserSplit<T> {
    pub(super) fn new(split: Option<SplitBy<T>>) -> Self {
        Self { split }
    }
}

/// What is at hand when a batch is split: the user's part of it.
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

    fn split(&self, state: &mut Self::State, item: &I) -> batcher::Split {
        let Some(split) = state else {
            let broken = self.split.is_some();
            return if broken {
                batcher::Split::Refuse
            } else {
                batcher::Split::Continue
            };
        };
        match guarded(|| split(item.data())) {
            Ok(Split::Continue) => batcher::Split::Continue,
            Ok(Split::Emit) => batcher::Split::Emit,
            Err(_panic) => batcher::Split::Refuse,
        }
    }
}
