//! The items of a retry queue, and where they return to.

use super::super::{release::release_redelivered, settle::Acker, tracked::MessageSlot};
use crate::{ack::Acknowledger, engine::link::DetachedMessages, machine::dispatch::GiveBack};

/// A message or a batch that waits to be handled again.
pub(in crate::pipeline) trait RetryItem<A: Acknowledger>:
    Send + 'static
{
    /// Releases the messages that their source delivers again. Returns how many messages are left.
    fn release(&mut self, acker: &mut Acker<A>) -> usize;
}

impl<T: Send + 'static, A: Acknowledger> RetryItem<A> for MessageSlot<T, A::Token> {
    fn release(&mut self, acker: &mut Acker<A>) -> usize {
        release_redelivered(acker, std::slice::from_mut(self));
        usize::from(self.tracked.is_some())
    }
}

/// The link that the items of a retry queue were detached from.
pub(in crate::pipeline) trait RetryTarget<T>: Send + Sync {
    /// Returns items to the front of the link. Empties `items`.
    fn restore(&self, items: &mut Vec<T>);

    /// Ends an item whose messages were all released.
    fn end(&self, item: T);
}

impl<T, K, D> RetryTarget<MessageSlot<T, K>> for DetachedMessages<MessageSlot<T, K>, D>
where
    T: Send,
    K: Send,
    D: GiveBack<MessageSlot<T, K>> + Send,
{
    fn restore(&self, items: &mut Vec<MessageSlot<T, K>>) {
        self.restore(items);
    }

    fn end(&self, item: MessageSlot<T, K>) {
        self.complete(std::iter::once(item.key_hash()));
    }
}
