//! What `prepare_messages` is given: the messages that a processor took together.

use std::fmt;

use crate::message::Message;

/// The messages of one chunk, in the order in which they will be handled.
///
/// A processor takes between one and `max_demand` messages at once: what is there, never waiting for more.
pub struct Chunk<'a, T> {
    messages: &'a mut (dyn Messages<T> + Send),
}

/// The engine's own storage, whose type carries more than users are to see.
pub(crate) trait Messages<T> {
    fn len(&self) -> usize;
    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>>;
    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_>;
}

impl<'a, T> Chunk<'a, T> {
    pub(crate) fn new(messages: &'a mut (dyn Messages<T> + Send)) -> Self {
        Self { messages }
    }

    /// How many messages; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Never: a chunk has at least one message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.len() == 0
    }

    /// The message at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        self.messages.get_mut(index)
    }

    /// All messages. Allocates once.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message<T>> + Send {
        self.messages.iter_mut()
    }
}

impl<T> fmt::Debug for Chunk<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len()).finish()
    }
}
