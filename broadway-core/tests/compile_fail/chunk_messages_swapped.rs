//! Two messages of a chunk cannot be swapped: the acknowledgement of each belongs to its slot.

use broadway_core::{Chunk, Message};

fn swap(chunk: &mut Chunk<'_, u64>, other: &mut Message<u64>) {
    if let Some(first) = chunk.get_mut(0) {
        std::mem::swap(&mut *first, other);
    }
}

fn main() {}
