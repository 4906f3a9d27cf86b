//! The traits that a batcher's caller implements: storage for a batch's messages, and a splitter that may end batches.

/// The storage for the messages of a batch.
pub trait BatchItems: Default {
    /// One message.
    type Item;

    /// Adds a message at the end.
    fn push(&mut self, item: Self::Item);

    /// Returns the number of messages.
    fn len(&self) -> usize;

    /// Returns whether it is empty.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> BatchItems for Vec<T> {
    type Item = T;

    fn push(&mut self, item: T) {
        self.push(item);
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// Ends batches by the content of their messages, besides size and bytes.
///
/// There is one state per key. It survives the delivery of a batch, for whatever reason, and is created anew only for a
/// key that is not known (any more).
pub trait Splitter<T> {
    /// The state kept between the messages of a key. See [`keeps_state`](Self::keeps_state).
    type State;

    /// Returns whether a key is remembered after its batch is gone, for the sake of its state.
    fn keeps_state(&self) -> bool {
        size_of::<Self::State>() > 0
    }

    /// Returns whether every message would be [`SplitDecision::Continue`]. Then `split` is not called.
    fn never_splits(&self) -> bool {
        false
    }

    /// Creates the state of a new key.
    fn start(&self) -> Self::State;

    /// Decides about the next message of a key.
    ///
    /// A panic here leaves the batcher unchanged but drops the message while unwinding. A caller that runs a user's
    /// function here catches its panic and refuses the message.
    fn split(&self, state: &mut Self::State, item: &T) -> SplitDecision;
}

/// The decision of a [`Splitter`] about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitDecision {
    /// It belongs to the batch, which stays open.
    Continue,
    /// It is the last message of the batch.
    Emit,
    /// It belongs to no batch; `push` returns it to the caller.
    Refuse,
}

/// Never ends a batch: size, bytes and time decide.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverSplit;

impl<T> Splitter<T> for NeverSplit {
    type State = ();

    fn never_splits(&self) -> bool {
        true
    }

    fn start(&self) {}

    fn split(&self, (): &mut (), _item: &T) -> SplitDecision {
        SplitDecision::Continue
    }
}
