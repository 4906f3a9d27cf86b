//! What `prepare_messages` is given: the messages that a processor took together.

use std::{fmt, ops::Deref};

use crate::message::{Message, Record};

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
    pub fn get_mut(&mut self, index: usize) -> Option<MessageMut<'_, T>> {
        self.messages.get_mut(index).map(MessageMut)
    }

    /// All messages. They can be collected and sorted; the engine handles them in the order of the chunk. Allocates once.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = MessageMut<'_, T>> + Send {
        self.messages.iter_mut().map(MessageMut)
    }
}

/// One message of a [`Chunk`], to be changed in place.
///
/// Not a `&mut Message`, so that two of a chunk cannot be swapped: what is owed for a message stays with it.
pub struct MessageMut<'a, T>(&'a mut Message<T>);

impl<T> MessageMut<'_, T> {
    /// As [`Message::data_mut`].
    pub fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }

    /// As [`Message::configure_ack`].
    pub fn configure_ack(&mut self, options: T::AckOptions)
    where
        T: Record,
    {
        self.0.configure_ack(options);
    }
}

impl<T> Deref for MessageMut<'_, T> {
    type Target = Message<T>;

    fn deref(&self) -> &Message<T> {
        self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for MessageMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> fmt::Debug for Chunk<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("len", &self.len()).finish()
    }
}
