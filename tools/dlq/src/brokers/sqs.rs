//! Amazon SQS: queues, whose dead letters become visible again when they are not replayed.

use std::time::Duration;

use broadway::{
    BoxError, Publisher,
    dead_letters::DeadLetterQueue,
    sqs::{OnFailure, Sqs, SqsPublisher},
};

use super::required_destination;
use crate::{
    args::{Command, From},
    commands::{self, Outcome},
};

pub(super) async fn run(command: &Command, from: &From, url: &str) -> Result<Outcome, BoxError> {
    let mut source = Sqs::queue(url)
        .on_failure(OnFailure::VisibleAfter(Duration::ZERO))
        // Long polls must have ended when dead letters are given back, or they would receive them.
        .wait_time(Duration::from_secs(1));
    if let Some(region) = &from.region {
        source = source.region(region);
    }
    if let Some(endpoint) = &from.endpoint {
        source = source.endpoint(endpoint);
    }
    let queue = DeadLetterQueue::new(source);
    match command {
        Command::List { which, .. } => commands::list(queue, which).await,
        Command::Show { id, which, .. } => commands::show(queue, id, which).await,
        Command::Replay { which, how, .. } => {
            let to = required_destination(how.to.as_ref(), "the URL of a queue")?;
            let mut publisher = SqsPublisher::queue(to);
            if let Some(region) = &from.region {
                publisher = publisher.region(region);
            }
            if let Some(endpoint) = &from.endpoint {
                publisher = publisher.endpoint(endpoint);
            }
            let publisher = publisher.open().await?.boxed();
            commands::replay(queue, publisher, |_| None, which, how).await
        }
    }
}
