//! What a processor keeps of a message that goes to a batcher, until the batcher has room.

use crate::{batch::BatchKey, handler::ToBatch};

/// The batch of a message: messages that are equal here share one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct BatchGroup {
    pub(super) key: BatchKey,
    /// The partition of the message's key. `None` if order is not kept, or the message has no key.
    pub(super) partition: Option<u32>,
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
