//! [`Group`]: all events, in a list.

use super::Aggregate;

/// All events, in a list. Grows with the number of events.
#[derive(Debug, Clone, Copy, Default)]
pub struct Group;

impl<T: Clone + Send + 'static> Aggregate<T> for Group {
    type State = Vec<T>;
    type Output = Vec<T>;

    const MERGES: bool = true;

    fn create(&self) -> Vec<T> {
        Vec::new()
    }

    fn add(&self, state: &mut Vec<T>, event: T) {
        state.push(event);
    }

    fn merge(&self, state: &mut Vec<T>, mut other: Vec<T>) {
        state.append(&mut other);
    }

    fn result(&self, state: &Vec<T>) -> Vec<T> {
        state.clone()
    }

    fn finish(&self, state: Vec<T>) -> Vec<T> {
        state
    }
}
