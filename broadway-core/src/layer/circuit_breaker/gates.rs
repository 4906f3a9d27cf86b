//! [`Gates`]: one gate for `handle_message`, and one for each batcher.

use std::sync::OnceLock;

use super::gate::Gate;
use crate::{
    batcher_key::{BatcherKey, for_each_batcher},
    machine::circuit::CircuitPolicy,
    running::RunningPipeline,
};

/// The gates of a handler, made at the first use: only the handler knows its batchers.
#[derive(Default)]
pub(super) struct Gates(OnceLock<Box<[Gate]>>);

impl Gates {
    /// Returns the gate of a batcher, or of `handle_message`.
    #[inline]
    pub(super) fn get<K: BatcherKey>(&self, batcher: Option<K>, policy: CircuitPolicy) -> &Gate {
        let index = batcher.map_or(0, |batcher| batcher.index() + 1);
        &self.made::<K>(policy)[index]
    }

    pub(super) fn started<K: BatcherKey>(&self, pipeline: &RunningPipeline, policy: CircuitPolicy) {
        for gate in self.made::<K>(policy) {
            gate.pauses().add(pipeline);
        }
    }

    /// Returns all gates; none before the first use.
    pub(super) fn all(&self) -> &[Gate] {
        self.0.get().map_or(&[], |gates| gates)
    }

    #[inline]
    fn made<K: BatcherKey>(&self, policy: CircuitPolicy) -> &[Gate] {
        self.0.get_or_init(|| {
            let batchers = for_each_batcher(|key: K| Gate::new(key.name(), policy));
            let messages = Gate::new("handle_message", policy);
            std::iter::once(messages).chain(batchers).collect()
        })
    }
}
