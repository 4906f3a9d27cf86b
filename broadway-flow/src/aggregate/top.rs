//! [`Top`]: the first events of an order.

use std::cmp::Ordering;

use super::Aggregate;

/// The first `n` events in the order of a function, in this order. Keeps `n` events, and at times twice as many.
#[derive(Debug, Clone, Copy)]
pub struct Top<F> {
    n: usize,
    order: F,
}

impl<F> Top<F> {
    /// Keeps the first `n` events in the order of `order`.
    pub const fn new(n: usize, order: F) -> Self {
        Self { n, order }
    }

    fn shorten<T>(&self, events: &mut Vec<T>)
    where
        F: Fn(&T, &T) -> Ordering,
    {
        if events.len() > self.n {
            events.select_nth_unstable_by(self.n, &self.order);
            events.truncate(self.n);
        }
    }
}

impl<T, F> Aggregate<T> for Top<F>
where
    T: Clone + Send + 'static,
    F: Fn(&T, &T) -> Ordering + Clone + Send + 'static,
{
    type State = Vec<T>;
    type Output = Vec<T>;

    const MERGES: bool = true;

    fn create(&self) -> Vec<T> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<T>, event: T) {
        state.push(event);
        // Rarely, so that an event costs little.
        if state.len() >= self.n.saturating_mul(2).max(16) {
            self.shorten(state);
        }
    }

    fn merge(&self, state: &mut Vec<T>, mut other: Vec<T>) {
        state.append(&mut other);
        self.shorten(state);
    }

    fn result(&self, state: &Vec<T>) -> Vec<T> {
        self.finish(state.clone())
    }

    fn finish(&self, mut state: Vec<T>) -> Vec<T> {
        self.shorten(&mut state);
        state.sort_by(&self.order);
        state
    }
}
