//! The argument of `prepare_messages`: the messages that a processor took together.

use std::{fmt, ops::Deref};

use crate::message::{Message, Record};

/// The messages of one chunk, in the order in which they will be handled.
///
/// A processor takes between one and `max_demand` messages at once: those that are available, without waiting for more.
pub struct Chunk<'a, T> {
    messages: &'a mut (dyn Messages<T> + Send),
}

/// The pipeline's storage of a chunk, whose type holds more than users may see.
pub(crate) trait Messages<T> {
    fn len(&self) -> usize;
    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>>;
    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_>;
}

impl<'a, T> Chunk<'a, T> {
    pub(crate) fn new(messages: &'a mut (dyn Messages<T> + Send)) -> Self {
        Self { messages }
    }

    /// Returns the number of messages; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns `false`: a chunk has at least one message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.len() == 0
    }

    /// Returns the message at `index`.
    pub fn get_mut(&mut self, index: usize) -> Option<MessageMut<'_, T>> {
        self.messages.get_mut(index).map(MessageMut)
    }

    /// Iterates over the messages. They can be collected and sorted; they are handled in the order of the chunk. Allocates once.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = MessageMut<'_, T>> + Send {
        self.messages.iter_mut().map(MessageMut)
    }
}

/// One message of a [`Chunk`], to be changed in place.
///
/// Not a `&mut Message`, which would allow swapping two messages of a chunk, and with them their acknowledgements.
pub struct MessageMut<'a, T>(&'a mut Message<T>);

impl<T> MessageMut<'_, T> {
    /// Returns the item, to be changed in place. See [`Message::data_mut`].
    pub fn data_mut(&mut self) -> &mut T {
        self.0.data_mut()
    }

    /// Sets the acknowledgement options. See [`Message::configure_ack`].
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

#[cfg(test)]
impl<T: Send> Messages<T> for Vec<Message<T>> {
    fn len(&self) -> usize {
        self.len()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        self.as_mut_slice().get_mut(index)
    }

    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_> {
        Box::new(self.as_mut_slice().iter_mut())
    }
}
