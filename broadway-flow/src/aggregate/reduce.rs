//! [`Reduce`]: any function of a state and an event.

use super::Aggregate;

/// A function that adds events to a state. The state is the result.
///
/// States cannot be merged, so all events of a key cross the partition, and sessions and overlapping windows need a [`MergingReduce`].
#[derive(Debug, Clone, Copy)]
pub struct Reduce<I, F> {
    init: I,
    add: F,
}

impl<I, F> Reduce<I, F> {
    /// Adds events to what `init` returns.
    pub const fn new(init: I, add: F) -> Self {
        Self { init, add }
    }

    /// Makes states mergeable. The order in which states are merged must not matter.
    pub fn merging<M>(self, merge: M) -> MergingReduce<I, F, M> {
        MergingReduce {
            reduce: self,
            merge,
        }
    }
}

impl<T, S, I, F> Aggregate<T> for Reduce<I, F>
where
    S: Clone + Send + 'static,
    I: Fn() -> S + Clone + Send + 'static,
    F: Fn(&mut S, T) + Clone + Send + 'static,
{
    type State = S;
    type Output = S;

    fn create(&self) -> S {
        (self.init)()
    }

    fn add(&self, state: &mut S, event: T) {
        (self.add)(state, event);
    }

    fn result(&self, state: &S) -> S {
        state.clone()
    }

    fn finish(&self, state: S) -> S {
        state
    }
}

/// A [`Reduce`] whose states can be merged.
#[derive(Debug, Clone, Copy)]
pub struct MergingReduce<I, F, M> {
    reduce: Reduce<I, F>,
    merge: M,
}

impl<T, S, I, F, M> Aggregate<T> for MergingReduce<I, F, M>
where
    S: Clone + Send + 'static,
    I: Fn() -> S + Clone + Send + 'static,
    F: Fn(&mut S, T) + Clone + Send + 'static,
    M: Fn(&mut S, S) + Clone + Send + 'static,
{
    type State = S;
    type Output = S;

    const MERGES: bool = true;

    fn create(&self) -> S {
        (self.reduce.init)()
    }

    fn add(&self, state: &mut S, event: T) {
        (self.reduce.add)(state, event);
    }

    fn merge(&self, state: &mut S, other: S) {
        (self.merge)(state, other);
    }

    fn result(&self, state: &S) -> S {
        state.clone()
    }

    fn finish(&self, state: S) -> S {
        state
    }
}
