//! RabbitMQ: one consumer on both sides with the same prefetch, and the same window of unconfirmed messages.

#[path = "../bare/rabbitmq.rs"]
mod baseline;

use baseline::RabbitMqBaseline;
use broadway::rabbitmq::{RabbitMq, RabbitMqPublisher};
use tokio::runtime::Runtime;

use super::brokers::clock::{Clock, Cost};
use super::load::{self, PAYLOAD};
use super::{BoxError, Contest, Scenario};

/// Messages that are delivered and not acknowledged, in each program.
const PREFETCH: u16 = 1_000;
/// Messages that are published and not confirmed, in each program.
const IN_FLIGHT: usize = 1_000;
/// Callers of the publisher, and the messages of a call.
const CALLERS: usize = 4;
const CALL: usize = 250;

pub(crate) const READ: Scenario = Scenario {
    name: "rabbitmq",
    about: "prefetch 1,000; against a consumer that acknowledges in groups of a hundred",
    reference: "consume_ack",
    messages: 200_000,
    quick: 20_000,
    begin: |runtime, messages| begin(runtime, messages, true),
};

pub(crate) const PUBLISH: Scenario = Scenario {
    name: "publish_rabbitmq",
    about: "4 callers with calls of 250; against a window of 1,000 unconfirmed",
    reference: "confirm_window",
    messages: 100_000,
    quick: 10_000,
    begin: |runtime, messages| begin(runtime, messages, false),
};

struct Broker {
    uri: String,
    messages: u64,
    reads: bool,
}

fn begin(runtime: &Runtime, messages: u64, reads: bool) -> Result<Box<dyn Contest>, BoxError> {
    let address = broadway_test_brokers::address("rabbitmq");
    let broker = Broker {
        uri: format!("amqp://guest:guest@{address}/%2f"),
        messages,
        reads,
    };
    // Check that the broker runs.
    let made = runtime.block_on(async { broker.make().await?.1.delete().await });
    made.map_err(|error| {
        format!("no RabbitMQ at {address}: start one with `scripts/brokers up rabbitmq` ({error})")
    })?;
    Ok(Box::new(broker))
}

impl Contest for Broker {
    fn ours(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        runtime.block_on(async {
            let (queue, baseline) = self.make().await?;
            let cost = if self.reads {
                self.fill(&baseline).await?;
                let source = RabbitMq::queue(&queue)
                    .uri(&self.uri)
                    .prefetch(usize::from(PREFETCH));
                load::read(source, self.messages).await?
            } else {
                let publisher = RabbitMqPublisher::queue(&queue)
                    .uri(&self.uri)
                    .in_flight_max(IN_FLIGHT)
                    .open()
                    .await?;
                load::publish(publisher, self.messages, CALLERS, CALL).await?
            };
            baseline.delete().await?;
            Ok(cost)
        })
    }

    fn reference(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        let clock = Clock::new(self.messages);
        runtime.block_on(async {
            let (_, baseline) = self.make().await?;
            if self.reads {
                self.fill(&baseline).await?;
                let see = || clock.begin();
                load::bounded(baseline.read(self.messages, PREFETCH, see)).await?;
            } else {
                clock.begin();
                self.fill(&baseline).await?;
            }
            clock.handled(self.messages);
            baseline.delete().await
        })?;
        Ok(clock.cost().expect("all are counted"))
    }

    fn end(self: Box<Self>, _runtime: &Runtime) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Broker {
    /// A queue for one round.
    async fn make(&self) -> Result<(String, RabbitMqBaseline), BoxError> {
        let queue = load::unique();
        let baseline = RabbitMqBaseline::create(&self.uri, &queue).await?;
        Ok((queue, baseline))
    }

    async fn fill(&self, baseline: &RabbitMqBaseline) -> Result<(), BoxError> {
        load::bounded(baseline.publish(self.messages, PAYLOAD, IN_FLIGHT)).await
    }
}
