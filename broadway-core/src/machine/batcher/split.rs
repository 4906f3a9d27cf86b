//! What a batch collects into, and who else may end it.

/// Where the messages of a batch are collected.
pub trait BatchItems: Default {
    /// One message.
    type Item;

    /// Adds a message behind the others.
    fn push(&mut self, item: Self::Item);

    /// How many messages are in it.
    fn len(&self) -> usize;

    /// Whether nothing is in it.
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

/// Ends batches by looking at the messages, beside size and bytes.
///
/// There is one state per key. It is kept when a batch is delivered, for whatever reason, and
/// started anew only for a key that is not known (any more).
pub trait Splitter<T> {
    /// What is remembered between the messages of a key. See [`keeps_state`](Self::keeps_state).
    type State;

    /// Whether a key is remembered when its batch is gone, for the sake of its state.
    fn keeps_state(&self) -> bool {
        size_of::<Self::State>() > 0
    }

    /// Whether every message would be [`SplitDecision::Continue`]. Then nobody needs to be asked.
    fn never_splits(&self) -> bool {
        false
    }

    /// The state of a new key.
    fn start(&self) -> Self::State;

    /// Decides about the next message of a key.
    ///
    /// A panic here leaves the batcher as it was but drops the message with the unwinding: whoever
    /// calls a user's function from here catches its panic and refuses the message.
    fn split(&self, state: &mut Self::State, item: &T) -> SplitDecision;
}

/// What a [`Splitter`] says about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitDecision {
    /// It belongs to the batch, which goes on.
    Continue,
    /// It is the last of the batch.
    Emit,
    /// It belongs to no batch; whoever pushed it gets it back.
    Refuse,
}

/// Leaves it to size, bytes and time.
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
