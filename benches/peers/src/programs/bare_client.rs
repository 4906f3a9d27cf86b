//! Programs over the bare client: the usual loops, and the fastest loop that the client allows.

use futures_util::{StreamExt, TryStreamExt};
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::program::{Body, COMMIT_INTERVAL, FETCH, IN_FLIGHT, Program, Running};
use crate::BoxError;
use crate::run::Run;

pub(crate) const STREAM_CONSUMER: Program = Program {
    name: "stream_consumer",
    about: "StreamConsumer::recv in a loop; the client commits the messages it handed over",
    body: Body::Commits(stream_consumer),
};

pub(crate) const BATCH_LOOP: Program = Program {
    name: "batch_loop",
    about: "partition queues in batches of 1,000, on one thread, no tracking",
    body: Body::Reads(crate::bare::batch_loop),
};

pub(crate) const FOR_EACH_CONCURRENT: Program = Program {
    name: "for_each_concurrent",
    about: "100 at once in any order: the ideal; the client commits the messages it handed over",
    body: Body::Commits(for_each_concurrent),
};

fn stream_consumer(run: &'static Run) -> Running {
    Box::pin(async move {
        let consumer = subscribed(run)?;
        loop {
            let message = consumer.recv().await?;
            if run.touch(message.payload().unwrap_or_default()) {
                break;
            }
        }
        commit(consumer).await
    })
}

fn for_each_concurrent(run: &'static Run) -> Running {
    Box::pin(async move {
        let consumer = subscribed(run)?;
        consumer
            .stream()
            .take_until(run.all_handled())
            .map_err(BoxError::from)
            .try_for_each_concurrent(IN_FLIGHT, |message| async move {
                run.wait(message.payload().unwrap_or_default()).await;
                Ok(())
            })
            .await?;
        commit(consumer).await
    })
}

fn subscribed(run: &Run) -> Result<StreamConsumer, BoxError> {
    let mut config = run.topic.config();
    for (name, value) in FETCH {
        config.set(name, value);
    }
    config
        .set("group.id", &run.group)
        .set("auto.offset.reset", "earliest")
        .set(
            "auto.commit.interval.ms",
            COMMIT_INTERVAL.as_millis().to_string(),
        );
    let consumer: StreamConsumer = config.create()?;
    consumer.subscribe(&[&run.topic.name])?;
    Ok(consumer)
}

/// Commits the stored offsets and leaves the group; both block.
async fn commit(consumer: StreamConsumer) -> Result<(), BoxError> {
    let committed =
        tokio::task::spawn_blocking(move || consumer.commit_consumer_state(CommitMode::Sync));
    match committed.await? {
        // The client has just committed everything on its own.
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
