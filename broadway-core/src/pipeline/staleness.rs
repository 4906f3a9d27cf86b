//! Whether a message has become another consumer's since it was delivered: a revoked partition, a lost channel.

use super::{
    envelope::{Creditor, Envelope},
    producer::low_half,
    settler::Settler,
};
use crate::ack::Acknowledger;

/// Finds messages that are no longer ours, reading each acknowledger's generation once per run.
#[derive(Default)]
pub(super) struct Staleness {
    /// The provenance that is known to be of the current generation.
    fresh: Option<u64>,
}

impl Staleness {
    #[inline(always)]
    pub(super) fn is_stale<A: Acknowledger, T>(
        &mut self,
        settler: &mut Settler<A>,
        envelope: &Envelope<T, A::Token>,
    ) -> bool {
        self.fresh != Some(envelope.debt.origin.provenance()) && self.look(settler, envelope)
    }

    #[inline(never)]
    fn look<A: Acknowledger, T>(
        &mut self,
        settler: &mut Settler<A>,
        envelope: &Envelope<T, A::Token>,
    ) -> bool {
        let Creditor::Source(token) = &envelope.debt.to else {
            return false;
        };
        let origin = envelope.debt.origin;
        let acknowledger = &settler.entry(origin.acknowledger()).acknowledger;
        if low_half(acknowledger.generation()) == origin.generation() {
            self.fresh = Some(origin.provenance());
            return false;
        }
        acknowledger.is_stale(token)
    }
}
