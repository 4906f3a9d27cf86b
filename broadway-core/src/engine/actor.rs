//! The loop that every task of the engine runs.

use std::{future::Future, ops::ControlFlow};

/// Something that waits for what happens next, and then does something about it.
///
/// Producers, processors and batch processors of pipelines are such, and stages of all kinds. Both futures may be dropped at
/// any await, when the task is aborted; each says what is lost then.
pub(crate) trait Actor: Send {
    /// What can happen to it.
    type Event: Send;

    /// Waits. `None`: nothing will happen any more.
    fn next(&mut self) -> impl Future<Output = Option<Self::Event>> + Send;

    /// Does something about it, and says whether to go on.
    fn handle(&mut self, event: Self::Event) -> impl Future<Output = ControlFlow<()>> + Send;
}

/// Runs an actor to its end, and lets other tasks run between two happenings.
pub(crate) async fn run<A: Actor>(mut actor: A) -> A {
    while let Some(event) = actor.next().await {
        if actor.handle(event).await.is_break() {
            break;
        }
        tokio::task::consume_budget().await;
    }
    actor
}

/// As [`run`], for who wants nothing of it afterwards.
pub(crate) async fn to_the_end(actor: impl Actor) {
    run(actor).await;
}
