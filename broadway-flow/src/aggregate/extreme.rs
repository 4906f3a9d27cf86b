//! [`Min`] and [`Max`]: the event with the smallest or largest value.

use super::Aggregate;

macro_rules! extreme {
    ($name:ident, $which:literal, $wins:tt) => {
        #[doc = concat!("The event with the ", $which, " value. Of equal ones, any.")]
        #[derive(Debug, Clone, Copy)]
        pub struct $name<F>(F);

        impl<F> $name<F> {
            /// Compares events by what `by` returns.
            pub const fn new(by: F) -> Self {
                Self(by)
            }
        }

        impl<T, O, F> Aggregate<T> for $name<F>
        where
            T: Clone + Send + 'static,
            O: PartialOrd,
            F: Fn(&T) -> O + Clone + Send + 'static,
        {
            type State = Option<T>;
            /// `None` in a window without events.
            type Output = Option<T>;

            const MERGES: bool = true;

            fn create(&self) -> Option<T> {
                None
            }

            fn add(&self, state: &mut Option<T>, event: T) {
                let wins = |old: &T| (self.0)(&event) $wins (self.0)(old);
                if state.as_ref().is_none_or(wins) {
                    *state = Some(event);
                }
            }

            fn merge(&self, state: &mut Option<T>, other: Option<T>) {
                if let Some(event) = other {
                    self.add(state, event);
                }
            }

            fn result(&self, state: &Option<T>) -> Option<T> {
                state.clone()
            }

            fn finish(&self, state: Option<T>) -> Option<T> {
                state
            }
        }
    };
}

extreme!(Min, "smallest", <);
extreme!(Max, "largest", >);
