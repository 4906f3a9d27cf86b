//! The pipeline: a handler without a batcher, and defaults for everything else.

use broadway::kafka::{Kafka, KafkaRecord, StartOffset};
use broadway::{BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors, Record};

use super::program::{Body, Program, Running};
use crate::run::Run;

pub(crate) const MAX_DEMAND_100: Program = Program {
    name: "broadway_100",
    about: "2 processors, max_demand 100 (the default)",
    body: Body::Commits(|run| read(run, Touch(run), Processors::new(2))),
};

pub(crate) const MAX_DEMAND_1000: Program = Program {
    name: "broadway_1000",
    about: "2 processors, max_demand 1,000",
    body: Body::Commits(|run| read(run, Touch(run), Processors::new(2).max_demand(1_000))),
};

pub(crate) const EIGHT_PROCESSORS: Program = Program {
    name: "broadway_8_processors",
    about: "8 processors, max_demand 100",
    body: Body::Commits(|run| read(run, Touch(run), Processors::new(8))),
};

pub(crate) const BY_KEY: Program = Program {
    name: "broadway_by_key",
    about: "100 processors, order per key",
    body: Body::Commits(|run| read(run, Wait(run), Processors::new(100).by_record_key())),
};

fn read<H>(run: &'static Run, handler: H, processors: Processors<KafkaRecord>) -> Running
where
    H: Handler<In = KafkaRecord, Out = (), Batcher = NoBatcher>,
{
    Box::pin(async move {
        let source = Kafka::topics([&run.topic.name])
            .brokers(&run.topic.broker)
            .group(&run.group)
            .start_offset(StartOffset::Earliest);
        let topology = Pipeline::new(source, handler)
            .name("bench")
            .processors(processors)
            .start()
            .await?;
        run.all_handled().await;
        topology.drain().await?;
        Ok(())
    })
}

/// The empty handler.
struct Touch(&'static Run);

impl Handler for Touch {
    type In = KafkaRecord;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        self.0.touch(message.data().payload());
        Ok(Next::Ack)
    }
}

/// The handler that waits.
struct Wait(&'static Run);

impl Handler for Wait {
    type In = KafkaRecord;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        self.0.wait(message.data().payload()).await;
        Ok(Next::Ack)
    }
}
