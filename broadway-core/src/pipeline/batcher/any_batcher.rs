//! [`AnyBatcher`]: a batcher as processors see it, without the type of the handler.
//!
//! Behind a trait object, so that a pipeline without batchers compiles none of their code. The calls cost nothing that counts: there
//! are two for each chunk.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    super::{context::Closable, failures::FailedMessage, tracked::MessageSlot},
    room::RoomWait,
    routed::RoutedOutput,
};
use crate::{handler::Handler, source::TokenOfSource};

/// A batcher of messages with items `T` and tokens `K`, and data `O`.
pub(in crate::pipeline) trait AnyBatcher<T, O, K>: Closable {
    /// Waits until messages may be pushed. Returns `false` if no batch processor is left.
    ///
    /// `wait` holds the state of this wait. Pass it with each poll, and to [`cancel_wait`](Self::cancel_wait) if it is not polled
    /// again.
    fn poll_room(&self, wait: &mut RoomWait, cx: &mut Context<'_>) -> Poll<bool>;

    /// Removes a wait.
    fn cancel_wait(&self, wait: &mut RoomWait);

    /// Moves messages from the chunk into their batches and sends the batches that become complete. Messages on which the user's
    /// functions panicked are added to `failures`.
    fn push(
        &self,
        routed: &mut Vec<RoutedOutput<O>>,
        chunk: &mut [MessageSlot<T, K>],
        failures: &mut Vec<FailedMessage<T, O, K>>,
    );
}

/// The batchers of a pipeline, by index.
pub(in crate::pipeline) type BatchersOf<S, H> =
    Arc<[Arc<dyn AnyBatcher<<H as Handler>::In, <H as Handler>::Out, TokenOfSource<S>>>]>;

/// Waits until messages may be pushed into `batcher`. Returns `false` if no batch processor is left.
///
/// # Cancel safety
///
/// Cancel safe.
pub(in crate::pipeline) async fn room_in<T, O, K>(batcher: &dyn AnyBatcher<T, O, K>) -> bool {
    let mut room = Room {
        batcher,
        wait: RoomWait::default(),
    };
    poll_fn(|cx| batcher.poll_room(&mut room.wait, cx)).await
}

/// A wait for room. Dropping it removes the wait.
struct Room<'a, T, O, K> {
    batcher: &'a dyn AnyBatcher<T, O, K>,
    wait: RoomWait,
}

impl<T, O, K> Drop for Room<'_, T, O, K> {
    fn drop(&mut self) {
        self.batcher.cancel_wait(&mut self.wait);
    }
}
