//! Whether messages are still ours: what the acknowledgers are told before a chunk is handled, and asked before each message.

use super::{
    envelope::{Creditor, Debt, Envelope, Parcel},
    producer::low_half,
    settler::Settler,
};
use crate::ack::Acknowledger;

/// Tells the acknowledgers what a chunk holds of theirs, before the generation is read for it.
pub(super) fn begin<A: Acknowledger, T>(settler: &mut Settler<A>, chunk: &[Parcel<T, A::Token>]) {
    for run in chunk.chunk_by(|a, b| acknowledger_of(a) == acknowledger_of(b)) {
        if let Some(number) = acknowledger_of(&run[0]) {
            let tokens = run.iter().filter_map(token_of);
            settler.entry(number).acknowledger.begin(tokens);
        }
    }
}

fn acknowledger_of<T, K>(parcel: &Parcel<T, K>) -> Option<u16> {
    let debt = &parcel.0.as_ref()?.debt;
    matches!(debt.to, Creditor::Source(_)).then(|| debt.origin.acknowledger())
}

fn token_of<T, K>(parcel: &Parcel<T, K>) -> Option<&K> {
    match &parcel.0.as_ref()?.debt {
        Debt {
            to: Creditor::Source(token),
            ..
        } => Some(token),
        _ => None,
    }
}

/// Tells messages that are no longer ours, reading each acknowledger's generation once per run.
#[derive(Default)]
pub(super) struct Freshness {
    /// The provenance that is known to be of the current generation.
    fresh: Option<u64>,
}

impl Freshness {
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
