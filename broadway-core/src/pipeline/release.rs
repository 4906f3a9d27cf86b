//! Which messages a drain releases: those that no handler has begun and that their source delivers again.
//!
//! They are found in three places: with a producer that the rate limit holds back (`producer`), in the link to the processors
//! ([`LinkRelease`]), and with processors, which check each chunk before they begin it ([`ChunkRelease`]). A source that is still read
//! would deliver a released message again, to this topology. So a producer releases its messages only when it has stopped, and the other
//! two wait until all producers have.

use std::{mem, sync::Arc};

use futures_util::FutureExt;

use super::{
    context::{ShutdownState, SourceInlet},
    settle::Acker,
    tracked::{AckTarget, MessageSlot, PendingAck, SlotOf},
};
use crate::{
    ack::{Acknowledger, Outcome},
    caught::{self, guarded},
    engine::control::Control,
    source::{AcknowledgerOf, Source},
};

/// Releases messages of a processor's chunk before any of them is handled.
pub(super) struct ChunkRelease {
    control: Arc<Control>,
    shutdown: Arc<ShutdownState>,
}

impl ChunkRelease {
    pub(super) fn new(control: &Arc<Control>, shutdown: &Arc<ShutdownState>) -> Self {
        Self {
            control: Arc::clone(control),
            shutdown: Arc::clone(shutdown),
        }
    }

    /// Releases messages if a drain has begun that releases. Returns whether any message is left.
    ///
    /// The slots of released messages stay in the chunk, empty: a link takes back the exact end of a chunk and nothing else.
    #[inline]
    pub(super) async fn filter<T, A: Acknowledger>(
        &self,
        acker: &mut Acker<A>,
        chunk: &mut [MessageSlot<T, A::Token>],
    ) -> bool {
        !self.control.releases() || self.release(acker, chunk).await
    }

    #[cold]
    async fn release<T, A: Acknowledger>(
        &self,
        acker: &mut Acker<A>,
        chunk: &mut [MessageSlot<T, A::Token>],
    ) -> bool {
        // Waits only if there is something to release: a chunk of pushed messages goes on at once.
        if chunk.iter().any(|slot| is_redelivered(acker, slot)) {
            self.shutdown.wait_until_stopped().await;
            release_redelivered(acker, chunk);
            // The acker has reported errors as events.
            let _ = acker.flush().await;
        }
        // All may be empty without a release here: `LinkRelease` gives back slots that it emptied.
        chunk.iter().any(|slot| slot.tracked.is_some())
    }
}

/// Releases the messages that wait in the link to the processors. Without it they would wait for a processor, and handlers that
/// have begun may take long.
pub(super) struct LinkRelease<S: Source> {
    pub(super) inlet: SourceInlet<S>,
    pub(super) acker: Acker<AcknowledgerOf<S>>,
    pub(super) chunk: Vec<SlotOf<S>>,
}

impl<S: Source> LinkRelease<S> {
    /// Releases all that waits, up to the first message that must be handled: the rest is left to the processors. Called when all
    /// producers have stopped.
    pub(super) async fn run(mut self) {
        // `now_or_never`: takes the waiting messages, and does not wait for more.
        while let Some(true) = self.inlet.take(usize::MAX, &mut self.chunk).now_or_never() {
            release_redelivered(&mut self.acker, &mut self.chunk);
            let _ = self.acker.flush().await;
            let first = self.chunk.iter().position(|slot| slot.tracked.is_some());
            if let Some(first) = first {
                let mut rest = self.chunk.split_off(first);
                self.inlet.give_back(&mut rest);
                return;
            }
            self.chunk.clear();
        }
    }
}

/// Adds all messages that their source delivers again to the acker, as released, and leaves their slots empty.
pub(super) fn release_redelivered<T, A: Acknowledger>(
    acker: &mut Acker<A>,
    slots: &mut [MessageSlot<T, A::Token>],
) {
    for slot in slots {
        if is_redelivered(acker, slot)
            && let Some(tracked) = mem::take(&mut slot.tracked)
        {
            acker.add(tracked.pending, Outcome::Released, None);
            caught::discard(tracked.message);
        }
    }
}

fn is_redelivered<T, A: Acknowledger>(
    acker: &mut Acker<A>,
    slot: &MessageSlot<T, A::Token>,
) -> bool {
    let tracked = slot.tracked.as_ref();
    tracked.is_some_and(|tracked| is_released(acker, &tracked.pending))
}

/// Whether a drain releases a message: its source delivers it again.
pub(super) fn is_released<A: Acknowledger>(
    acker: &mut Acker<A>,
    pending: &PendingAck<A::Token>,
) -> bool {
    match &pending.target {
        AckTarget::Source(token) => {
            let entry = acker.acknowledger(pending.ack_ref.acknowledger());
            // If `redelivers` panics, the message is handled.
            guarded(|| entry.acknowledger.redelivers(token)).unwrap_or(false)
        }
        // No source delivers a pushed message again; and a message that was acknowledged early has been begun.
        AckTarget::Pushed(_) | AckTarget::AckedEarly | AckTarget::Settled => false,
    }
}
