//! Whether a message belongs to another consumer by now: its partition was revoked, its channel was lost, its lease ran out.

use super::super::{
    settle::Acker,
    tracked::{AckTarget, TrackedMessage},
};
use crate::ack::Acknowledger;

/// Finds stale messages. Reads an acknowledger's generation once per run of messages, since that is an atomic of another thread.
#[derive(Default)]
pub(in crate::pipeline) struct StalenessCheck {
    /// Acknowledger and generation that were found to be current.
    current: Option<u64>,
}

impl StalenessCheck {
    #[inline(always)]
    pub(in crate::pipeline) fn is_stale<A: Acknowledger, T>(
        &mut self,
        acker: &mut Acker<A>,
        tracked: &TrackedMessage<T, A::Token>,
    ) -> bool {
        self.current != Some(tracked.pending.ack_ref.acknowledger_and_generation())
            && self.ask(acker, tracked)
    }

    #[inline(never)]
    fn ask<A: Acknowledger, T>(
        &mut self,
        acker: &mut Acker<A>,
        tracked: &TrackedMessage<T, A::Token>,
    ) -> bool {
        let AckTarget::Source(token) = &tracked.pending.target else {
            return false;
        };
        let ack_ref = tracked.pending.ack_ref;
        let acknowledger = &acker.acknowledger(ack_ref.acknowledger()).acknowledger;
        if ack_ref.is_of_generation(acknowledger.generation()) {
            self.current = Some(ack_ref.acknowledger_and_generation());
            return false;
        }
        // The generation moved since delivery: some message of the acknowledger is stale, perhaps not this one.
        acknowledger.is_stale(token)
    }
}
