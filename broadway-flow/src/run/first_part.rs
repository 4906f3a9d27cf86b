//! [`FirstPart`]: the part of a flow in front of a topic.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::future::BoxFuture;

use crate::{FlowError, RunFlowError};

/// A part of a flow that runs.
pub(crate) trait RunningPart: Send + Sync {
    /// Waits until it has ended.
    fn wait(&mut self) -> BoxFuture<'_, Result<(), FlowError>>;

    /// Settles finished messages, and ends it.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// The part of a flow in front of a topic. Starts once.
#[derive(Clone)]
pub(crate) struct FirstPart(Arc<Mutex<Option<StartFirst>>>);

type StartFirst =
    Box<dyn FnOnce() -> BoxFuture<'static, Result<Box<dyn RunningPart>, RunFlowError>> + Send>;

impl FirstPart {
    pub(crate) fn new(
        start: impl FnOnce() -> BoxFuture<'static, Result<Box<dyn RunningPart>, RunFlowError>>
        + Send
        + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(start)))))
    }

    pub(crate) async fn start(&self) -> Result<Option<Box<dyn RunningPart>>, RunFlowError> {
        let start = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match start {
            Some(start) => start().await.map(Some),
            None => Ok(None),
        }
    }
}

impl fmt::Debug for FirstPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstPart")
    }
}
