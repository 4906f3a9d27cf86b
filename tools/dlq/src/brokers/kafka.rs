//! Kafka: a log, which a replay reads with a consumer group and never deletes.

use std::{process, time::Duration, time::SystemTime};

use broadway::{
    BoxError, Publisher,
    dead_letters::{DeadLetterInfo, DeadLetterQueue, Leave},
    kafka::{Kafka, KafkaPublisher, StartOffset},
    portable::Digest,
};

use crate::{
    args::{Command, From, How, Which},
    commands::{self, Outcome},
};

/// How long to wait until a partition is assigned: a member that died keeps its group waiting for its session timeout.
const FIRST_WITHIN: Duration = Duration::from_secs(60);

pub(super) async fn run(
    command: &Command,
    from: &From,
    brokers: &str,
    topic: &str,
) -> Result<Outcome, BoxError> {
    let group = from.group.clone();
    let group = group.unwrap_or_else(|| match command {
        Command::Replay { which, how, .. } if !how.dry_run => group_of(topic, which, how),
        _ => new_group(),
    });
    let mut source = Kafka::topics([topic])
        .brokers(brokers)
        .group(group)
        .start_offset(StartOffset::Earliest);
    for (name, value) in &from.properties {
        source = source.set(name, value);
    }
    let queue = DeadLetterQueue::new(source)
        .leave(Leave::PassOver)
        .first_within(FIRST_WITHIN);
    match command {
        Command::List { which, .. } => commands::list(queue, which).await,
        Command::Show { id, which, .. } => commands::show(queue, id, which).await,
        Command::Replay { which, how, .. } => {
            // Its own topic is never used: a message without a destination is refused.
            let mut publisher = KafkaPublisher::topic(topic).brokers(brokers);
            for (name, value) in &from.properties {
                publisher = publisher.set(name, value);
            }
            let publisher = publisher.open().await?.boxed();
            let to = how.to.clone();
            let to = move |letter: &DeadLetterInfo| {
                let origin = || letter.origin_name().map(str::to_owned);
                Some(to.clone().or_else(origin).unwrap_or_default())
            };
            commands::replay(queue, publisher, to, which, how).await
        }
    }
}

/// A group for the same replay each time, so that it continues; another filter begins at the start.
fn group_of(topic: &str, which: &Which, how: &How) -> String {
    let mut digest = Digest::new().with(topic.as_bytes());
    for filter in &which.filters {
        digest = digest.with(filter.to_string().as_bytes());
    }
    digest = digest.with(how.to.as_deref().unwrap_or_default().as_bytes());
    format!("broadway-dlq-{}", digest.name())
}

/// A group that has read nothing.
fn new_group() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    format!("broadway-dlq-list-{}-{now}", process::id())
}
