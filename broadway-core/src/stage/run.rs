//! The loop that every task of the engine runs.

use std::{future::Future, ops::ControlFlow};

/// Something that waits for what happens next, and then does something about it.
///
/// Producers, processors and batch processors of pipelines are such, and stages of all kinds. Both futures may be dropped at
/// any await, when the task is aborted; each says what is lost then.
pub(crate) trait Act: Send {
    /// What can happen to it.
    type Happening: Send;

    /// Waits. `None`: nothing will happen any more.
    fn next(&mut self) -> impl Future<Output = Option<Self::Happening>> + Send;

    /// Does something about it, and says whether to go on.
    fn react(&mut self, happening: Self::Happening)
    -> impl Future<Output = ControlFlow<()>> + Send;
}

/// Runs an actor to its end, and lets other tasks run between two happenings.
pub(crate) async fn run<A: Act>(mut actor: A) -> A {
    while let Some(happening) = actor.next().await {
        if actor.react(happening).await.is_break() {
            break;
        }
        tokio::task::consume_budget().await;
    }
    actor
}

/// As [`run`], for who wants nothing of it afterwards.
pub(crate) async fn to_the_end(actor: impl Act) {
    run(actor).await;
}
