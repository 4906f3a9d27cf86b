//! Pub/Sub, with its emulator: one stream on both sides, with the same number of outstanding messages.

#[path = "../bare/pubsub.rs"]
mod bare;

use broadway::pubsub::{PubSub, PubSubPublisher};
use tokio::runtime::Runtime;

use super::brokers::clock::{Clock, Cost};
use super::load::{self, PAYLOAD};
use super::{BoxError, Contest, Scenario};
use bare::PubSubBaseline;

/// Messages that are delivered and not acknowledged, or published and not confirmed, in each program.
const OUTSTANDING: usize = 1_000;

pub(crate) const READ: Scenario = Scenario {
    name: "pubsub",
    about: "one stream, 1,000 outstanding; against a loop that takes the next and acknowledges it",
    reference: "next_ack",
    // The emulator delivers 2,000 a second.
    messages: 10_000,
    quick: 2_000,
    begin: |runtime, messages| begin(runtime, messages, true),
};

pub(crate) const PUBLISH: Scenario = Scenario {
    name: "publish_pubsub",
    about: "4 callers with calls of 250; against a window of 1,000 unconfirmed",
    reference: "publish_window",
    messages: 50_000,
    quick: 5_000,
    begin: |runtime, messages| begin(runtime, messages, false),
};

/// Callers of the publisher, and the messages of a call.
const CALLERS: usize = 4;
const CALL: usize = 250;

struct Server {
    endpoint: String,
    messages: u64,
    reads: bool,
}

/// A topic with a subscription for one round, since the emulator keeps sending to closed streams.
struct Topic {
    name: String,
    subscription: String,
    baseline: PubSubBaseline,
}

fn begin(runtime: &Runtime, messages: u64, reads: bool) -> Result<Box<dyn Contest>, BoxError> {
    let address = broadway_test_brokers::address("pubsub");
    let server = Server {
        endpoint: format!("http://{address}"),
        messages,
        reads,
    };
    // Check that the server runs.
    let made = runtime.block_on(async { server.make().await?.baseline.delete().await });
    made.map_err(|error| {
        format!("no Pub/Sub at {address}: start one with `scripts/brokers up pubsub` ({error})")
    })?;
    Ok(Box::new(server))
}

impl Contest for Server {
    fn ours(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        runtime.block_on(async {
            let topic = self.make().await?;
            let cost = if self.reads {
                self.fill(&topic).await?;
                let source = PubSub::subscription(&topic.subscription)
                    .endpoint(&self.endpoint)
                    .outstanding_messages_max(OUTSTANDING);
                load::read(source, self.messages).await?
            } else {
                let publisher = PubSubPublisher::topic(&topic.name)
                    .endpoint(&self.endpoint)
                    .in_flight_max(OUTSTANDING)
                    .open()
                    .await?;
                load::publish(publisher, self.messages, CALLERS, CALL).await?
            };
            topic.baseline.delete().await?;
            Ok(cost)
        })
    }

    fn reference(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        let clock = Clock::new(self.messages);
        runtime.block_on(async {
            let topic = self.make().await?;
            if self.reads {
                self.fill(&topic).await?;
                let see = || clock.begin();
                load::bounded(topic.baseline.read(self.messages, OUTSTANDING, see)).await?;
            } else {
                clock.begin();
                self.fill(&topic).await?;
            }
            clock.handled(self.messages);
            topic.baseline.delete().await
        })?;
        Ok(clock.cost().expect("all are counted"))
    }

    fn end(self: Box<Self>, _runtime: &Runtime) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Server {
    async fn make(&self) -> Result<Topic, BoxError> {
        let id = load::unique();
        let name = format!("projects/broadway/topics/{id}");
        let subscription = format!("projects/broadway/subscriptions/{id}");
        let baseline = PubSubBaseline::create(&self.endpoint, &name, &subscription).await?;
        Ok(Topic {
            name,
            subscription,
            baseline,
        })
    }

    async fn fill(&self, topic: &Topic) -> Result<(), BoxError> {
        load::bounded(topic.baseline.publish(self.messages, PAYLOAD, OUTSTANDING)).await
    }
}
