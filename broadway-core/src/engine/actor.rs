//! [`Actor`], and the one loop that every task of the engine runs.

use std::{future::Future, ops::ControlFlow};

/// Waits for its next event, then handles it.
///
/// Producers, processors and batch processors of pipelines are actors, and so are stages of all kinds. Both futures may be dropped
/// at any await, when the task is aborted; each implementation documents which messages are lost then.
pub(crate) trait Actor: Send {
    /// Events that the actor handles.
    type Event: Send;

    /// Waits for the next event. Returns `None` if there will be no more.
    fn next(&mut self) -> impl Future<Output = Option<Self::Event>> + Send;

    /// Handles an event. Returns whether the actor goes on.
    fn handle(&mut self, event: Self::Event) -> impl Future<Output = ControlFlow<()>> + Send;
}

/// Runs an actor until it ends, and returns it. Lets other tasks run between two events.
pub(crate) async fn run<A: Actor>(mut actor: A) -> A {
    while let Some(event) = actor.next().await {
        if actor.handle(event).await.is_break() {
            break;
        }
        tokio::task::consume_budget().await;
    }
    actor
}

/// Runs an actor until it ends, and drops it.
pub(crate) async fn run_to_end(actor: impl Actor) {
    run(actor).await;
}
