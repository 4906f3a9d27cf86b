//! Calls `handle_done` with the messages of a chunk or batch that succeeded, before they are settled.

use std::{future::poll_fn, pin::pin};

use super::{
    context::PipelineContext,
    tracked::{AckTarget, MessageSlot, TrackedMessage},
};
use crate::{
    caught::{Panicked, polled},
    chunk::{Chunk, Messages},
    error::Callback,
    handler::Handler,
    message::Message,
    telemetry::Event,
};

/// Calls `handle_done`. Its panic is reported, and changes no outcome.
#[inline]
pub(super) async fn call_handle_done<H: Handler, A>(
    handler: &H,
    done: &mut (dyn Messages<H::In> + Send),
    context: &PipelineContext<A>,
) {
    let mut call = pin!(async { handler.handle_done(&mut Chunk::new(done)).await });
    // Not `caught`, which hides the type of the future: the compiler removes the call of a handler that does nothing.
    if let Err(panicked) = poll_fn(|cx| polled(call.as_mut(), cx)).await {
        report_panic(panicked, context);
    }
}

#[cold]
fn report_panic<A>(panicked: Panicked, context: &PipelineContext<A>) {
    let reason = panicked.reason(Callback::HandleDone);
    let event = Event::HandleDonePanicked { reason: &reason };
    context.emitter.emit(&event);
}

/// The messages of slots that ended well in a processor. Not counted before the handler asks.
pub(super) struct DoneSlots<'a, T, K>(pub(super) &'a mut [MessageSlot<T, K>]);

fn is_done<T, K>(slot: &MessageSlot<T, K>) -> bool {
    let target = slot.tracked.as_ref().map(|tracked| &tracked.pending.target);
    matches!(target, Some(AckTarget::Settled))
}

impl<T: Send, K: Send> Messages<T> for DoneSlots<'_, T, K> {
    fn len(&self) -> usize {
        self.0.iter().filter(|slot| is_done(slot)).count()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        self.iter_mut().nth(index)
    }

    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_> {
        let done = self.0.iter_mut().filter(|slot| is_done(slot));
        let tracked = done.filter_map(|slot| slot.tracked.as_mut());
        Box::new(tracked.map(|tracked| &mut tracked.message))
    }
}

/// The messages of a batch.
pub(super) struct TrackedMessages<'a, T, K>(pub(super) &'a mut [TrackedMessage<T, K>]);

impl<T: Send, K: Send> Messages<T> for TrackedMessages<'_, T, K> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Message<T>> {
        self.0.get_mut(index).map(|tracked| &mut tracked.message)
    }

    fn iter_mut(&mut self) -> Box<dyn Iterator<Item = &mut Message<T>> + Send + '_> {
        Box::new(self.0.iter_mut().map(|tracked| &mut tracked.message))
    }
}
