//! SQS, at an emulator: both programs use requests of ten, with equal concurrency.

#[path = "../bare/sqs.rs"]
mod bare;

use std::time::Duration;

use broadway::sqs::{Sqs, SqsPublisher};
use tokio::runtime::Runtime;

use super::brokers::clock::{Clock, Cost};
use super::load::{self, PAYLOAD};
use super::{BoxError, Contest, Scenario};
use bare::SqsBaseline;

/// Concurrent polls of both programs; each deletes what it received.
const POLLS: usize = 8;
/// Concurrent send requests of both programs: the limit of the publisher.
const REQUESTS: usize = 16;
/// Callers of the publisher, and the messages of a call.
const CALLERS: usize = 2;
const CALL: usize = 500;

pub(crate) const READ: Scenario = Scenario {
    name: "sqs",
    about: "8 polls of ten; against 8 loops that receive ten and delete ten",
    reference: "receive_delete",
    messages: 20_000,
    quick: 2_000,
    begin: |runtime, messages| begin(runtime, messages, true),
};

pub(crate) const PUBLISH: Scenario = Scenario {
    name: "publish_sqs",
    about: "2 callers with calls of 500; against 16 loops that send ten",
    reference: "send_batch",
    messages: 20_000,
    quick: 2_000,
    begin: |runtime, messages| begin(runtime, messages, false),
};

struct Queue {
    address: String,
    messages: u64,
    reads: bool,
}

fn begin(runtime: &Runtime, messages: u64, reads: bool) -> Result<Box<dyn Contest>, BoxError> {
    let address = broadway_test_brokers::address("sqs");
    let queue = Queue {
        address,
        messages,
        reads,
    };
    // Fails early if no emulator is running.
    let made = runtime.block_on(async { queue.make().await?.delete().await });
    made.map_err(|error| {
        format!(
            "no SQS at {}: start one with `scripts/brokers up sqs` ({error})",
            queue.address
        )
    })?;
    Ok(Box::new(queue))
}

impl Contest for Queue {
    fn ours(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        runtime.block_on(async {
            let baseline = self.make().await?;
            let cost = if self.reads {
                self.fill(&baseline).await?;
                let source = Sqs::queue(baseline.url())
                    .credentials("test", "test")
                    .region("elasticmq")
                    .receives_max(POLLS)
                    .deletes_max(POLLS)
                    .wait_time(Duration::from_secs(1));
                load::read(source, self.messages).await?
            } else {
                let publisher = SqsPublisher::queue(baseline.url())
                    .credentials("test", "test")
                    .region("elasticmq")
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
            let baseline = self.make().await?;
            if self.reads {
                self.fill(&baseline).await?;
                let first = clock.clone();
                let see = move |_| first.begin();
                load::bounded(baseline.read(self.messages, POLLS, see)).await?;
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

impl Queue {
    /// A queue for one round: an open poll of the round before would take messages of the next.
    async fn make(&self) -> Result<SqsBaseline, BoxError> {
        let endpoint = format!("http://{}", self.address);
        SqsBaseline::create(&endpoint, &load::unique()).await
    }

    async fn fill(&self, baseline: &SqsBaseline) -> Result<(), BoxError> {
        let payload = str::from_utf8(PAYLOAD)?;
        load::bounded(baseline.publish(self.messages, payload, REQUESTS)).await
    }
}
