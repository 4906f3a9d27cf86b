//! [`StagesSource`]: the output of a running stage as a source.

use std::sync::Arc;

use broadway_core::{StartError, stage::Output};
use futures_util::future::BoxFuture;

use super::{
    SourceInfo, StartSource, Started,
    pack::{Counter, start_pack},
};
use crate::live::{FlowState, ProgressUnit};

/// The output of a running stage as a source.
pub(crate) struct StagesSource<T> {
    output: Output<T>,
}

impl<T> StagesSource<T> {
    pub(crate) const fn new(output: Output<T>) -> Self {
        Self { output }
    }
}

impl<T: Send + 'static> StartSource for StagesSource<T> {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            kind: "stage",
            detail: self.output.producer().to_owned(),
            is_bounded: false,
            is_acked: false,
            total: None,
            unit: ProgressUnit::Events,
        }
    }

    fn start(
        self: Box<Self>,
        _targets: usize,
        state: Arc<FlowState>,
    ) -> BoxFuture<'static, Result<Started, StartError>> {
        Box::pin(async move { start_pack(self.output, Counter::Source, &state).await })
    }
}
