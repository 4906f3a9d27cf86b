//! [`Aggregate`]: how the events of a key and a window become one value.

/// How the events of one key and one window become one value.
///
/// The flow creates a state for each key and window, adds events to it, and takes results from it when the window fires. An aggregate whose states
/// can be [merged](Self::merge) is computed in part before events are partitioned, and a sliding window computes it once for each slide
/// rather than once for each window.
pub trait Aggregate<T>: Clone + Send + 'static {
    /// The state of one key in one window.
    type State: Clone + Send + 'static;
    /// The result.
    type Output: Send + 'static;

    /// Whether [`merge`](Self::merge) works. Defaults to `false`.
    const MERGES: bool = false;

    /// Creates the state of a window without events.
    fn create(&self) -> Self::State;

    /// Adds an event.
    fn add(&self, state: &mut Self::State, event: T);

    /// Adds the events of `other`, which may be older or newer. The order in which states are merged must not matter.
    ///
    /// # Panics
    ///
    /// By default it panics: the flow calls it only if [`MERGES`](Self::MERGES) is set.
    fn merge(&self, state: &mut Self::State, other: Self::State) {
        let _ = (state, other);
        unreachable!("`MERGES` is false");
    }

    /// Returns the result so far. The state stays, and gets further events.
    fn result(&self, state: &Self::State) -> Self::Output;

    /// Returns the last result of a state. Defaults to [`result`](Self::result).
    fn finish(&self, state: Self::State) -> Self::Output {
        self.result(&state)
    }
}
