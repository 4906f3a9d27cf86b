//! What a drain gives back: messages that no handler has begun, where their source delivers them again.
//!
//! They are found where they wait: in the hands of a producer whom the rate limit holds back (`producer`), in the link to the
//! processors ([`Sweep`]), and with processors, which look once a chunk whether to begin it. Each waits until all producers have
//! stopped reading, so that no source gets back at once what was released.

use std::{mem, sync::Arc};

use futures_util::FutureExt;

use super::{
    envelope::{Creditor, Parcel},
    processor::{AckOf, ParcelFor},
    settler::Settler,
    start::{Line, SourceInlet},
};
use crate::{
    ack::{Acknowledger, Outcome},
    caught::{self, guarded},
    engine::control::Control,
    handler::Handler,
    source::{Source, SourceProducer},
};

/// What a processor asks before it begins a chunk.
pub(super) struct Begin {
    control: Arc<Control>,
    line: Arc<Line>,
}

impl Begin {
    pub(super) fn new(control: &Arc<Control>, line: &Arc<Line>) -> Self {
        Self {
            control: Arc::clone(control),
            line: Arc::clone(line),
        }
    }

    /// Releases what is not to be begun any more. Returns whether anything of the chunk is left; what was released leaves its
    /// place empty, since a link takes back no more than the exact end of a chunk.
    #[inline]
    pub(super) async fn filter<T, A: Acknowledger>(
        &self,
        settler: &mut Settler<A>,
        chunk: &mut [Parcel<T, A::Token>],
    ) -> bool {
        !self.control.releases() || self.release(settler, chunk).await
    }

    #[cold]
    async fn release<T, A: Acknowledger>(
        &self,
        settler: &mut Settler<A>,
        chunk: &mut [Parcel<T, A::Token>],
    ) -> bool {
        if chunk.iter().any(|parcel| is_released(settler, parcel)) {
            self.line.all_stopped().await;
            release(settler, chunk);
            // What the acknowledger said is an event already.
            let _ = settler.flush().await;
        }
        // The sweep leaves empty places, too.
        chunk.iter().any(|parcel| parcel.0.is_some())
    }
}

/// Takes what waits in the link to the processors when all producers have stopped: handlers that have begun may take long.
pub(super) struct Sweep<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    pub(super) inlet: SourceInlet<S>,
    pub(super) settler: Settler<AckOf<S>>,
    pub(super) chunk: Vec<ParcelFor<S, H>>,
}

impl<S, H> Sweep<S, H>
where
    S: Source<Producer: SourceProducer<Item = H::In>>,
    H: Handler,
{
    /// Releases all that waits, up to the first message that has to be handled: the rest is left to the processors.
    pub(super) async fn run(mut self) {
        while let Some(true) = self.inlet.take(usize::MAX, &mut self.chunk).now_or_never() {
            release(&mut self.settler, &mut self.chunk);
            let _ = self.settler.flush().await;
            let first = self.chunk.iter().position(|parcel| parcel.0.is_some());
            if let Some(first) = first {
                let mut rest = self.chunk.split_off(first);
                self.inlet.give_back(&mut rest);
                return;
            }
            self.chunk.clear();
        }
    }
}

/// Enters all messages as released whose source delivers them again, and leaves their places empty.
pub(super) fn release<T, A: Acknowledger>(
    settler: &mut Settler<A>,
    parcels: &mut [Parcel<T, A::Token>],
) {
    for parcel in parcels {
        if is_released(settler, parcel)
            && let Some(envelope) = mem::take(&mut parcel.0)
        {
            settler.add(envelope.debt, Outcome::Released, None);
            caught::discard(envelope.message);
        }
    }
}

fn is_released<T, A: Acknowledger>(settler: &mut Settler<A>, parcel: &Parcel<T, A::Token>) -> bool {
    let Some(envelope) = &parcel.0 else {
        return false;
    };
    match &envelope.debt.to {
        Creditor::Source(token) => {
            let entry = settler.entry(envelope.debt.origin.acknowledger());
            // The message is handled if this panics.
            guarded(|| entry.acknowledger.redelivers(token)).unwrap_or(false)
        }
        // Pushed messages come from no source; one that was acknowledged early has been begun.
        Creditor::Pushed(_) | Creditor::Early | Creditor::Settled => false,
    }
}
