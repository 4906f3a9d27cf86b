//! [`Count`]: the number of events.

use super::Aggregate;

/// The number of events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count;

impl<T> Aggregate<T> for Count {
    type State = u64;
    type Output = u64;

    const MERGES: bool = true;

    fn create(&self) -> u64 {
        0
    }

    fn add(&self, state: &mut u64, _event: T) {
        *state += 1;
    }

    fn merge(&self, state: &mut u64, other: u64) {
        *state += other;
    }

    fn result(&self, state: &u64) -> u64 {
        *state
    }
}
