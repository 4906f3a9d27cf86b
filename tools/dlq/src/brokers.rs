//! Opens the source and the publisher of each broker.

#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "sqs")]
mod sqs;

use broadway::BoxError;

use crate::{
    args::{Args, Command, From, Usage},
    commands::{self, Outcome},
};

/// Runs the command with the broker that the arguments name.
pub(crate) async fn run(args: &Args) -> Result<Outcome, BoxError> {
    let (Command::List { from, .. } | Command::Show { from, .. } | Command::Replay { from, .. }) =
        &args.command;
    if let Command::Replay { how, .. } = &args.command {
        // Before anything is opened.
        commands::confirm(how)?;
    }
    #[cfg(feature = "kafka")]
    if let (Some(brokers), Some(topic)) = (&from.kafka, &from.topic) {
        return kafka::run(&args.command, from, brokers, topic).await;
    }
    #[cfg(feature = "rabbitmq")]
    if let (Some(uri), Some(queue)) = (&from.rabbitmq, &from.queue) {
        return rabbitmq::run(&args.command, uri, queue).await;
    }
    #[cfg(feature = "sqs")]
    if let Some(url) = &from.sqs {
        return sqs::run(&args.command, from, url).await;
    }
    #[cfg(feature = "pubsub")]
    if let Some(subscription) = &from.pubsub {
        return pubsub::run(&args.command, from, subscription).await;
    }
    Err(Usage(missing(from)).into())
}

fn missing(from: &From) -> String {
    let named = [
        ("kafka", from.kafka.is_some()),
        ("rabbitmq", from.rabbitmq.is_some()),
        ("sqs", from.sqs.is_some()),
        ("pubsub", from.pubsub.is_some()),
    ];
    match named.iter().find(|(_, is_named)| *is_named) {
        Some((name, _)) => format!("this build has no {name}: build it with `--features {name}`"),
        None => {
            "name the broker of the dead letters: --kafka, --rabbitmq, --sqs or --pubsub".to_owned()
        }
    }
}

/// Returns the destination, which this broker's coordinates do not name.
#[cfg(any(feature = "sqs", feature = "pubsub"))]
fn required_destination(to: Option<&String>, what: &str) -> Result<String, Usage> {
    let to = to.cloned();
    to.ok_or_else(|| {
        Usage(format!(
            "`replay` needs --to, {what}: a dead letter does not name the place it came from"
        ))
    })
}
