//! [`Options`]: the options of a whole flow.

use std::sync::Arc;

use super::FirstPart;
use crate::{
    RunFlowError,
    live::FlowState,
    snapshot::{Snapshot, Snapshots},
};

/// Options of a whole flow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) snapshots: Option<Snapshots>,
    /// The part in front of a topic that this flow reads.
    pub(crate) first: Option<FirstPart>,
    /// Where a progress bar is drawn, if one is wanted.
    #[cfg(feature = "progress")]
    pub(crate) bar: Option<fn() -> indicatif::ProgressDrawTarget>,
}

impl Options {
    pub(crate) fn flow_name(&self) -> Arc<str> {
        self.name.clone().unwrap_or_else(|| Arc::from("flow"))
    }

    /// Loads the last snapshot, if the flow has snapshots.
    pub(crate) async fn state(&self) -> Result<Arc<FlowState>, RunFlowError> {
        let restored = match &self.snapshots {
            Some(snapshots) => snapshots.load().await?,
            None => Snapshot::default(),
        };
        let state = FlowState::new(self.flow_name(), self.snapshots.clone(), restored);
        Ok(Arc::new(state))
    }
}
