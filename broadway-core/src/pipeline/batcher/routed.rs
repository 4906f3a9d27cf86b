//! What a processor keeps of a message that goes to a batcher, until the batcher has room.

use std::hash::{Hash, Hasher};

use crate::{batch::BatchKey, handler::ToBatch};

/// The batch of a message: messages that are equal here share one.
#[derive(Clone, Eq)]
pub(super) struct BatchGroup {
    pub(super) key: BatchKey,
    /// The partition of the message's key. `None` if order is not kept, or the message has no key.
    pub(super) partition: Option<u32>,
}

/// Not derived: this is inlined for the keys of most batchers, and is called for each message.
impl PartialEq for BatchGroup {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let is_same_key = match (&self.key, &other.key) {
            (BatchKey::None, BatchKey::None) => true,
            (BatchKey::Number(one), BatchKey::Number(other)) => one == other,
            (BatchKey::Text(one), BatchKey::Text(other)) => one == other,
            _ => false,
        };
        is_same_key && self.partition == other.partition
    }
}

/// Not derived: two words are hashed for most keys, and not four. Keys of different kinds may collide, and then differ by `eq`.
impl Hash for BatchGroup {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match &self.key {
            BatchKey::None => {}
            BatchKey::Number(number) => state.write_u64(*number),
            BatchKey::Text(text) => text.hash(state),
        }
        state.write_u64(
            self.partition
                .map_or(0, |partition| u64::from(partition) + 1),
        );
    }
}

/// The handler's output for a message that goes into a batch. The message itself stays in its slot of the chunk.
pub(in crate::pipeline) struct RoutedOutput<O> {
    pub(super) group: BatchGroup,
    /// Taken when it moves into its batch.
    pub(super) data: Option<O>,
    /// The index of the message's slot in the chunk.
    pub(super) index: usize,
    pub(super) flush: bool,
}

impl<O> RoutedOutput<O> {
    /// Adds the output of the message at `index` of the chunk.
    #[inline(always)]
    pub(in crate::pipeline) fn push<K>(routed: &mut Vec<Self>, index: usize, to: ToBatch<O, K>) {
        let ToBatch {
            key, data, flush, ..
        } = to;
        let data = Some(data);
        let push = |key| {
            let group = BatchGroup {
                key,
                partition: None,
            };
            routed.push(Self {
                group,
                data,
                index,
                flush,
            });
        };
        // Not `push(key)`: the handler has just written the key byte by byte, and the processor would stall on copying it as a
        // whole (7 ns).
        match key {
            BatchKey::None => push(BatchKey::None),
            BatchKey::Number(number) => push(BatchKey::Number(number)),
            BatchKey::Text(text) => push(BatchKey::Text(text)),
        }
    }
}
