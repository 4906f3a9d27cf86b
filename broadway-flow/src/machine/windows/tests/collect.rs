//! [`Collect`]: an aggregate whose results show which events they are made of.

use crate::Aggregate;

/// Collects events. `M` is whether it merges.
#[derive(Debug, Clone, Copy)]
pub(super) struct Collect<const M: bool>;

impl<const M: bool> Aggregate<i64> for Collect<M> {
    type State = Vec<i64>;
    type Output = Vec<i64>;

    const MERGES: bool = M;

    fn create(&self) -> Vec<i64> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<i64>, event: i64) {
        state.push(event);
    }

    fn merge(&self, state: &mut Vec<i64>, other: Vec<i64>) {
        assert!(M, "an aggregate that does not merge was merged");
        state.extend(other);
    }

    fn result(&self, state: &Vec<i64>) -> Vec<i64> {
        let mut all = state.clone();
        all.sort_unstable();
        all
    }
}
