//! mq-bridge: a route from a Kafka topic to no output, with a handler.

use mq_bridge::models::{Endpoint, EndpointType, KafkaConfig};
use mq_bridge::{CanonicalMessage, Handled, Route};

use super::program::{BATCH, Body, FETCH, Program, Running};
use crate::run::Run;

pub(crate) const BATCHES: Program = Program {
    name: "mq_bridge",
    about: "batches of at most 1,000, a commit for each",
    body: Body::Commits(read),
};

fn read(run: &'static Run) -> Running {
    Box::pin(async move {
        let settings = FETCH.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = KafkaConfig {
            url: run.topic.broker.clone(),
            topic: Some(run.topic.name.clone()),
            group_id: Some(run.group.clone()),
            consumer_options: Some(settings.to_vec()),
            ..KafkaConfig::default()
        };
        let route = Route::new(
            Endpoint::new(EndpointType::Kafka(config)),
            Endpoint::new(EndpointType::Null),
        );
        let route = route.with_batch_size(BATCH).with_handler(
            move |message: CanonicalMessage| async move {
                run.touch(&message.payload);
                Ok(Handled::Ack)
            },
        );
        let running = route.run("bench").await?;
        run.all_handled().await;
        running.stop().await;
        running.join().await?;
        Ok(())
    })
}
