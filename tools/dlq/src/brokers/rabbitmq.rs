//! RabbitMQ: queues, whose dead letters go back when they are not replayed.

use broadway::{
    BoxError, Publisher,
    dead_letters::{DeadLetterInfo, DeadLetterQueue},
    rabbitmq::{OnFailure, RabbitMq, RabbitMqPublisher},
};

use crate::{
    args::{Command, Which},
    commands::{self, Outcome},
};

/// The most messages that RabbitMQ sends to one consumer before they are settled.
const PREFETCH_MAX: u32 = 65_535;

pub(super) async fn run(command: &Command, uri: &str, queue: &str) -> Result<Outcome, BoxError> {
    let (Command::List { which, .. } | Command::Show { which, .. } | Command::Replay { which, .. }) =
        command;
    let prefetch = which.hold.min(PREFETCH_MAX);
    let source = RabbitMq::queue(queue)
        .uri(uri)
        .connection_name("broadway-dlq")
        .prefetch(prefetch as usize)
        .on_failure(OnFailure::Requeue);
    let letters = DeadLetterQueue::new(source);
    let which = &Which {
        hold: prefetch,
        ..which.clone()
    };
    match command {
        Command::List { .. } => commands::list(letters, which).await,
        Command::Show { id, .. } => commands::show(letters, id, which).await,
        Command::Replay { how, .. } => {
            let publisher = match &how.exchange {
                Some(exchange) => RabbitMqPublisher::exchange(exchange),
                None => RabbitMqPublisher::queue(queue),
            };
            let publisher = publisher.uri(uri).open().await?.boxed();
            let to = how.to.clone();
            // Never `None`, which would be the queue of dead letters itself: an empty routing key reaches no queue and is refused.
            let to = move |letter: &DeadLetterInfo| {
                let origin = || letter.origin_name().map(str::to_owned);
                Some(to.clone().or_else(origin).unwrap_or_default())
            };
            commands::replay(letters, publisher, to, which, how).await
        }
    }
}
