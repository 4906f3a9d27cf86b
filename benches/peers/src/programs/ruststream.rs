//! RustStream: tracked commits, handlers over the raw payload.

use std::convert::Infallible;
use std::num::NonZeroUsize;

use ruststream::runtime::BrokerScope;
use ruststream_rdkafka::prelude::*;

use super::program::{BATCH, Body, COMMIT_INTERVAL, FETCH, IN_FLIGHT, Program, Running};
use crate::run::Run;

pub(crate) const ONE_WORKER: Program = Program {
    name: "ruststream",
    about: "1 worker, tracked commits",
    body: Body::Commits(|run| {
        serve(run, move |broker| {
            broker.include(subscriber(topic(run), Touch(run)).build());
        })
    }),
};

pub(crate) const BATCHES: Program = Program {
    name: "ruststream_batches",
    about: "1 worker, batches of at most 1,000, tracked commits",
    body: Body::Commits(|run| {
        serve(run, move |broker| {
            let handler = subscriber(topic(run), TouchBatch(run));
            broker.include(handler.batch(count(BATCH)).build());
        })
    }),
};

pub(crate) const EIGHT_WORKERS: Program = Program {
    name: "ruststream_8_workers",
    about: "8 workers, tracked commits",
    body: Body::Commits(|run| {
        serve(run, move |broker| {
            let handler = subscriber(topic(run), Touch(run));
            broker.include(handler.workers(count(8)).build());
        })
    }),
};

pub(crate) const BY_KEY: Program = Program {
    name: "ruststream_by_key",
    about: "100 workers by record key, tracked commits",
    body: Body::Commits(|run| {
        serve(run, move |broker| {
            let handler = subscriber(topic(run).lane_key(LaneKey::RecordKey), Wait(run));
            broker.include(handler.workers_by_key(count(IN_FLIGHT)).build());
        })
    }),
};

fn serve<F>(run: &'static Run, mount: F) -> Running
where
    F: FnOnce(&mut BrokerScope<KafkaBroker>) + Send + 'static,
{
    Box::pin(async move {
        let broker = KafkaBroker::new([run.topic.broker.as_str()]);
        let app = RustStream::new(AppInfo::new("bench", "0.1.0")).with_broker(broker, mount);
        let running = app.start().await?;
        run.all_handled().await;
        running.shutdown().await?;
        Ok(())
    })
}

fn topic(run: &Run) -> KafkaTopic {
    let topic = KafkaTopic::new(&run.topic.name)
        .group(&run.group)
        .start(StartOffset::Earliest)
        .commit(Commit::Tracked)
        .config(
            "auto.commit.interval.ms",
            COMMIT_INTERVAL.as_millis().to_string(),
        );
    FETCH
        .iter()
        .fold(topic, |topic, (name, value)| topic.config(*name, *value))
}

fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("a number above zero")
}

/// The payload of a message, not copied and not decoded.
struct Payload<'a>(&'a [u8]);

impl Deserialized for Payload<'_> {
    type Output<'a> = Payload<'a>;
    type Error = Infallible;

    fn from_payload(payload: &[u8]) -> Result<Payload<'_>, Self::Error> {
        Ok(Payload(payload))
    }
}

impl Input for Payload<'_> {
    type Axis = SoloDeserialized<Payload<'static>>;
}

/// The empty handler.
struct Touch(&'static Run);

impl<'p> Handle<Payload<'p>> for Touch {
    async fn handle(
        &self,
        payload: &Payload<'p>,
        (): &(),
        _: &mut Context<'_>,
    ) -> Result<(), HandlerOutcome> {
        self.0.touch(payload.0);
        Ok(())
    }
}

/// The empty handler of a batch.
struct TouchBatch(&'static Run);

impl<'p> Handle<[Payload<'p>]> for TouchBatch {
    async fn handle(
        &self,
        payloads: &[Payload<'p>],
        (): &(),
        _: &mut Context<'_>,
    ) -> Result<(), Vec<HandlerOutcome>> {
        self.0.touch_batch(payloads.iter().map(|payload| payload.0));
        Ok(())
    }
}

/// The handler that waits.
struct Wait(&'static Run);

impl<'p> Handle<Payload<'p>> for Wait {
    async fn handle(
        &self,
        payload: &Payload<'p>,
        (): &(),
        _: &mut Context<'_>,
    ) -> Result<(), HandlerOutcome> {
        self.0.wait(payload.0).await;
        Ok(())
    }
}
