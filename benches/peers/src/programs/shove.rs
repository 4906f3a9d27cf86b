//! shove: a consumer of single messages, many at once, and a consumer of batches.

use std::sync::OnceLock;

use shove::kafka::{BatchConsumerOptions, KafkaClient, KafkaConfig, KafkaConsumer};
use shove::{
    BatchMessageHandler, ConsumerOptions, Kafka, MessageHandler, MessageMetadata, NotSequenced,
    Outcome, QueueTopology, RawBytesCodec, Topic, TopologyBuilder,
};

use super::program::{BATCH, Body, COMMIT_INTERVAL, IN_FLIGHT, Program, Running};
use crate::run::Run;

pub(crate) const CONCURRENT: Program = Program {
    name: "shove",
    about: "100 at once, tracked commits",
    body: Body::Commits(read),
};

pub(crate) const BATCHES: Program = Program {
    name: "shove_batches",
    about: "batches of at most 1,000, a commit for each",
    body: Body::Commits(read_batches),
};

fn read(run: &'static Run) -> Running {
    Box::pin(async move {
        name_topic(run);
        let client = KafkaClient::connect(&KafkaConfig::new(&run.topic.broker)).await?;
        let consumer = KafkaConsumer::new(client.clone());
        let shutdown = client.shutdown_token().child_token();
        let options = ConsumerOptions::<Kafka>::preset(u16::try_from(IN_FLIGHT)?)
            .with_group_id(run.group.as_str())
            .with_commit_interval(COMMIT_INTERVAL)
            .with_shutdown(shutdown.clone());
        let reading =
            tokio::spawn(async move { consumer.run::<Input, _>(Touch(run), (), options).await });
        run.all_handled().await;
        shutdown.cancel();
        reading.await??;
        client.shutdown().await;
        Ok(())
    })
}

fn read_batches(run: &'static Run) -> Running {
    Box::pin(async move {
        name_topic(run);
        let client = KafkaClient::connect(&KafkaConfig::new(&run.topic.broker)).await?;
        let consumer = KafkaConsumer::new(client.clone());
        let shutdown = client.shutdown_token().child_token();
        let options = BatchConsumerOptions::new()
            .with_group_id(run.group.as_str())
            .with_max_batch_size(BATCH)
            .with_shutdown(shutdown.clone());
        let reading = tokio::spawn(async move {
            consumer
                .run_batch::<Input, _>(Touch(run), (), options)
                .await
        });
        run.all_handled().await;
        shutdown.cancel();
        reading.await??;
        client.shutdown().await;
        Ok(())
    })
}

/// The topic as a type, whose name is only known when the process starts.
struct Input;

static TOPOLOGY: OnceLock<QueueTopology> = OnceLock::new();

/// Not `external`: such a topic is paused and read again whenever all handlers are busy, which is far slower.
fn name_topic(run: &Run) {
    TOPOLOGY.get_or_init(|| TopologyBuilder::new(&run.topic.name).build());
}

impl Topic for Input {
    type Message = Vec<u8>;
    type Codec = RawBytesCodec;

    fn topology() -> &'static QueueTopology {
        TOPOLOGY.get().expect("the program named its topic")
    }
}

impl NotSequenced for Input {}

/// The empty handler.
struct Touch(&'static Run);

impl MessageHandler<Input> for Touch {
    type Context = ();

    async fn handle(&self, message: Vec<u8>, _: MessageMetadata, (): &()) -> Outcome {
        self.0.touch(&message);
        Outcome::Ack
    }
}

impl BatchMessageHandler<Input> for Touch {
    type Context = ();

    async fn handle_batch(&self, messages: Vec<(Vec<u8>, MessageMetadata)>, (): &()) -> Outcome {
        let payloads = messages.iter().map(|(payload, _)| payload.as_slice());
        self.0.touch_batch(payloads);
        Outcome::Ack
    }
}
