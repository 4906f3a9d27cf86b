//! Google Cloud Pub/Sub: subscriptions, whose dead letters are delivered again when they are not replayed.

use std::time::Duration;

use broadway::{
    BoxError, Publisher,
    dead_letters::DeadLetterQueue,
    pubsub::{OnFailure, PubSub, PubSubPublisher},
};

use super::required_destination;
use crate::{
    args::{Command, From},
    commands::{self, Outcome},
};

/// How long to wait for the first letter. Letters that were on their way to an earlier reader come back when their lease ends.
const FIRST_WITHIN: Duration = Duration::from_secs(90);

pub(super) async fn run(
    command: &Command,
    from: &From,
    subscription: &str,
) -> Result<Outcome, BoxError> {
    let (Command::List { which, .. } | Command::Show { which, .. } | Command::Replay { which, .. }) =
        command;
    let mut source = PubSub::subscription(subscription)
        .outstanding_messages_max(which.hold as usize)
        .on_failure(OnFailure::Nack);
    if let Some(endpoint) = &from.endpoint {
        source = source.endpoint(endpoint);
    }
    let queue = DeadLetterQueue::new(source).first_within(FIRST_WITHIN);
    match command {
        Command::List { .. } => commands::list(queue, which).await,
        Command::Show { id, .. } => commands::show(queue, id, which).await,
        Command::Replay { how, .. } => {
            let to = required_destination(how.to.as_ref(), "a topic")?;
            let mut publisher = PubSubPublisher::topic(to);
            if let Some(endpoint) = &from.endpoint {
                publisher = publisher.endpoint(endpoint);
            }
            let publisher = publisher.open().await?.boxed();
            commands::replay(queue, publisher, |_| None, which, how).await
        }
    }
}
