//! How do I handle SQS jobs that take longer than the visibility timeout of their queue?
//!
//! ```console
//! $ scripts/brokers up sqs
//! $ cargo run --release --features sqs --example sqs_thumbnails
//! ```
//!
//! Sends 40 jobs to the queue `thumbnails`, each the name of an image, and handles them with eight processors. The visibility
//! timeout is 3 s and some images take 8 s. Their messages are kept invisible meanwhile, so each image is made once. Two images are
//! broken; their messages are logged and deleted. Ends after about 10 s, when all jobs of this run are handled.
//!
//! `BROADWAY_SQS` sets the SQS emulator; it defaults to 127.0.0.1:19324. `QUEUE_URL` sets a queue of yours instead, with region and
//! credentials from the environment as usual.

use std::{
    collections::BTreeMap,
    env,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway::{
    BoxError, Failed, Handler, Message, Next, NoBatcher, Outgoing, Pipeline, Processors, Publisher,
    Record,
    sqs::{AckOptions, OnFailure, Sqs, SqsPublisher, SqsRecord},
    telemetry::Summary,
};
use tokio::sync::Notify;

const JOBS: usize = 40;

/// Simulates making thumbnails.
struct Thumbnails {
    /// The value of the header `run` of the jobs of this run. The queue may contain other jobs.
    run: String,
    handled: Arc<Handled>,
}

/// The handled jobs of this run, with the number of times that each was handled.
#[derive(Default)]
struct Handled {
    jobs: Mutex<BTreeMap<String, u32>>,
    changed: Notify,
}

impl Handled {
    fn add(&self, image: &str) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        *jobs.entry(image.to_owned()).or_default() += 1;
        self.changed.notify_one();
    }

    fn counts(&self) -> BTreeMap<String, u32> {
        let jobs = self.jobs.lock();
        jobs.unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn wait_for(&self, n: usize) {
        while self.counts().len() < n {
            self.changed.notified().await;
        }
    }
}

impl Handler for Thumbnails {
    type In = SqsRecord;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<SqsRecord>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let record = message.data();
        let image = record.body();
        let work = match image.split('-').next() {
            Some("huge") => Duration::from_secs(8),
            Some("broken") => return Err(format!("{image} is not an image").into()),
            _ => Duration::from_millis(300),
        };
        tokio::time::sleep(work).await;
        let delivery = record.receive_count().unwrap_or_default();
        println!("{image} in {work:?} (delivery {delivery})");
        self.count(record);
        Ok(Next::Ack)
    }

    /// By default a failed message is redelivered. Broken images never succeed, so they are logged and deleted.
    async fn handle_failed(&self, failed: &mut [Failed<SqsRecord, ()>]) {
        for failed in failed {
            println!("given up: {}", failed.reason());
            self.count(failed.message().data());
            let delete = AckOptions::new().on_failure(OnFailure::Delete);
            failed.configure_ack(delete);
        }
    }
}

impl Thumbnails {
    fn count(&self, record: &SqsRecord) {
        if record.header("run") == Some(self.run.as_bytes()) {
            self.handled.add(record.body());
        }
    }
}

/// The source and the publisher of the queue: yours, or one that is created at an emulator, which requires a region and credentials
/// but does not check them.
async fn queue() -> Result<(Sqs, SqsPublisher), BoxError> {
    if let Ok(url) = env::var("QUEUE_URL") {
        return Ok((Sqs::queue(&url), SqsPublisher::queue(&url).open().await?));
    }
    let address = env::var("BROADWAY_SQS").unwrap_or_else(|_| "127.0.0.1:19324".to_owned());
    let url = format!("http://{address}/000000000000/thumbnails");
    let source = Sqs::queue(&url).region("local").credentials("any", "any");
    let publisher = SqsPublisher::queue(&url)
        .region("local")
        .credentials("any", "any")
        .create_if_missing();
    Ok((source, publisher.open().await?))
}

/// Sends the jobs of this run.
async fn send(publisher: &SqsPublisher, run: &str) -> Result<(), BoxError> {
    let jobs = (0..JOBS).map(|n| {
        let kind = match n {
            3 | 11 | 19 => "huge",
            7 | 23 => "broken",
            _ => "small",
        };
        Outgoing::new(format!("{kind}-{n}.jpg")).header("run", run.to_owned())
    });
    for sent in publisher.publish(jobs.collect()).await {
        sent?;
    }
    publisher.close().await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Prints the pipeline's log, which names failed messages.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let (source, publisher) = queue().await?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let run = format!("{}-{}", started.as_millis(), std::process::id());
    send(&publisher, &run).await?;
    println!("sent {JOBS} jobs");

    let handled = Arc::new(Handled::default());
    let handler = Thumbnails {
        run,
        handled: handled.clone(),
    };
    let summary = Summary::default();
    // Shorter than the work, to demonstrate extensions. In production, the delay of a job after a crash.
    let source = source.visibility_timeout(Duration::from_secs(3));
    let topology = Pipeline::new(source, handler)
        .name("thumbnails")
        // One job at a time per processor: others would wait behind a slow one.
        .processors(Processors::new(8).max_demand(1))
        .observe(summary.clone())
        .start()
        .await?;
    println!("{}", topology.describe());
    tokio::select! {
        () = handled.wait_for(JOBS) => drop(topology.drain().await?),
        ended = topology.wait_or_signal() => drop(ended?),
    }

    let counts = handled.counts();
    let repeated = counts.values().filter(|times| **times > 1).count();
    println!("{summary}");
    println!(
        "{} of {JOBS} jobs handled, {repeated} of them more than once",
        counts.len()
    );
    Ok(())
}
