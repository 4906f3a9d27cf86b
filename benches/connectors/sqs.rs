//! SQS, with its emulator: requests of ten messages on both sides, with the same concurrency.

use std::time::Duration;

use broadway::sqs::{Sqs, SqsPublisher, bare::Bare};
use tokio::runtime::Runtime;

use super::brokers::clock::{Clock, Cost};
use super::load::{self, PAYLOAD};
use super::{BoxError, Contest, Scenario};

/// Concurrent polls in each program; each deletes the messages that it has received.
const POLLS: usize = 8;
/// Concurrent send requests in each program, as in the publisher.
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
    // Check that the server runs.
    let made = runtime.block_on(async { queue.make().await?.1.delete().await });
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
            let (url, bare) = self.make().await?;
            let cost = if self.reads {
                self.fill(&bare).await?;
                let source = Sqs::queue(&url)
                    .credentials("test", "test")
                    .region("elasticmq")
                    .receives_max(POLLS)
                    .deletes_max(POLLS)
                    .wait_time(Duration::from_secs(1));
                load::read(source, self.messages).await?
            } else {
                let publisher = SqsPublisher::queue(&url)
                    .credentials("test", "test")
                    .region("elasticmq")
                    .open()
                    .await?;
                load::publish(publisher, self.messages, CALLERS, CALL).await?
            };
            bare.delete().await?;
            Ok(cost)
        })
    }

    fn reference(&mut self, runtime: &Runtime) -> Result<Cost, BoxError> {
        let clock = Clock::new(self.messages);
        runtime.block_on(async {
            let (_, bare) = self.make().await?;
            if self.reads {
                self.fill(&bare).await?;
                let first = clock.clone();
                let see = move |_| first.begin();
                load::bounded(bare.read(self.messages, POLLS, see)).await?;
            } else {
                clock.begin();
                self.fill(&bare).await?;
            }
            clock.handled(self.messages);
            bare.delete().await
        })?;
        Ok(clock.cost().expect("all are counted"))
    }

    fn end(self: Box<Self>, _runtime: &Runtime) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Queue {
    /// A queue for one round, since a poll left over from the previous round would take messages of the next.
    async fn make(&self) -> Result<(String, Bare), BoxError> {
        let url = format!("http://{}/000000000000/{}", self.address, load::unique());
        let bare = Bare::create(&url).await?;
        Ok((url, bare))
    }

    async fn fill(&self, bare: &Bare) -> Result<(), BoxError> {
        let payload = str::from_utf8(PAYLOAD)?;
        load::bounded(bare.publish(self.messages, payload, REQUESTS)).await
    }
}
