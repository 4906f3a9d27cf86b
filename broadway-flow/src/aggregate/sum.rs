//! [`Sum`]: the sum of a number in each event.

use std::ops::AddAssign;

use super::Aggregate;

/// The sum of a number in each event. A sum that overflows panics or wraps as the number's own addition does.
#[derive(Debug, Clone, Copy)]
pub struct Sum<F>(F);

impl<F> Sum<F> {
    /// Sums what `f` returns for each event.
    pub const fn new(f: F) -> Self {
        Self(f)
    }
}

impl<T, N, F> Aggregate<T> for Sum<F>
where
    N: AddAssign + Default + Clone + Send + 'static,
    F: Fn(&T) -> N + Clone + Send + 'static,
{
    type State = N;
    type Output = N;

    const MERGES: bool = true;

    fn create(&self) -> N {
        N::default()
    }

    fn add(&self, state: &mut N, event: T) {
        *state += (self.0)(&event);
    }

    fn merge(&self, state: &mut N, other: N) {
        *state += other;
    }

    fn result(&self, state: &N) -> N {
        state.clone()
    }

    fn finish(&self, state: N) -> N {
        state
    }
}
