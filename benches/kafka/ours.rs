//! The pipeline under test: an empty handler, and defaults for everything else.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;

use broadway::kafka::{Kafka, KafkaRecord, StartOffset};
use broadway::source::TokenOf;
use broadway::telemetry::{Event, Observer};
use broadway::{
    BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors, Record,
    source::{Delivery, NoopAcknowledger, OpenContext, Produced, Source, SourceProducer},
};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use super::brokers::clock::{Clock, Cost};
use super::topic::Topic;

/// Reads the topic with tracked offsets and commits.
pub(crate) fn tracked(
    topic: &Topic,
    runtime: &Runtime,
    processors: usize,
) -> Result<Cost, BoxError> {
    runtime.block_on(read(topic, source(topic), processors))
}

/// Reads the topic and acknowledges nothing.
pub(crate) fn untracked(
    topic: &Topic,
    runtime: &Runtime,
    processors: usize,
) -> Result<Cost, BoxError> {
    let source = source(topic).uncommitted_max(usize::try_from(topic.messages)? + 1);
    runtime.block_on(read(topic, Unacknowledged(source), processors))
}

fn source(topic: &Topic) -> Kafka {
    Kafka::topics([&topic.name])
        .brokers(&topic.broker)
        .group(topic.new_group())
        .start_offset(StartOffset::Earliest)
}

async fn read<S>(topic: &Topic, source: S, processors: usize) -> Result<Cost, BoxError>
where
    S: Source<Producer: SourceProducer<Item = KafkaRecord>>,
{
    let clock = Clock::new(topic.messages);
    let end = Arc::new(Notify::new());
    let observer = Watch {
        clock: clock.clone(),
        end: Arc::clone(&end),
    };
    let topology = Pipeline::new(source, Touch)
        .name("bench")
        .processors(Processors::new(processors))
        .observe(observer)
        .start()
        .await?;
    end.notified().await;
    let cost = clock.cost().expect("the last message was seen");
    // The drain is not measured, and an unacknowledged reader has nothing to drain.
    let _ = topology.drain().await;
    Ok(cost)
}

/// Reads the first byte, as the loops over the bare client do.
struct Touch;

impl Handler for Touch {
    type In = KafkaRecord;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        black_box(message.data().payload().first());
        Ok(Next::Ack)
    }
}

/// Counts messages by chunk. The cost of an observer of chunks is part of the measurement.
struct Watch {
    clock: Clock,
    end: Arc<Notify>,
}

impl Observer for Watch {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        match *event {
            Event::ChunkStarted { .. } => self.clock.begin(),
            Event::ChunkStopped { done, .. } if self.clock.handled(done as u64) => {
                self.end.notify_one();
            }
            _ => {}
        }
    }
}

/// A source whose messages are not acknowledged.
struct Unacknowledged<S>(S);

impl<S: Source> Source for Unacknowledged<S> {
    type Producer = Forgetful<S::Producer>;

    async fn open(&self, cx: &OpenContext) -> Result<Self::Producer, BoxError> {
        Ok(Forgetful {
            inner: self.0.open(cx).await?,
            taken: Vec::new(),
        })
    }
}

/// Drops the tokens of another producer.
struct Forgetful<P: SourceProducer> {
    inner: P,
    taken: Vec<Delivery<P::Item, TokenOf<P>>>,
}

impl<P: SourceProducer> SourceProducer for Forgetful<P> {
    type Item = P::Item;
    type Acknowledger = NoopAcknowledger;

    fn acknowledger(&self) -> Arc<NoopAcknowledger> {
        Arc::new(NoopAcknowledger)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Self::Item, ()>>,
    ) -> Result<Produced, BoxError> {
        let produced = self.inner.produce(demand, &mut self.taken).await?;
        out.extend(
            self.taken
                .drain(..)
                .map(|Delivery { item, .. }| Delivery::new(item, ())),
        );
        Ok(produced)
    }

    async fn stop(&mut self) {
        self.inner.stop().await;
    }
}
