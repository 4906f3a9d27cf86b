//! How do I work on an SQS queue whose jobs take longer than its visibility time-out?
//!
//! ```console
//! $ scripts/brokers up sqs
//! $ cargo run --release --features sqs --example sqs_thumbnails
//! ```
//!
//! Sends 40 jobs to the queue `thumbnails`, each the name of an image, and makes "thumbnails" of them with eight processors. The
//! visibility time-out is 3 s and some images take 8 s: their messages are kept hidden meanwhile, so each image is made once. Two
//! images are broken; their messages are deleted after that was written down. Ends by itself when all jobs of this run are
//! through, after some 10 s.
//!
//! `BROADWAY_SQS` names another stand-in of SQS than 127.0.0.1:19324. `QUEUE_URL` names a queue of yours instead, for which region
//! and credentials come from the environment, as usual.

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

/// Makes thumbnails, in the sense that it takes as long.
struct Thumbnails {
    /// The header that the jobs of this run have: others may be in the queue.
    run: String,
    through: Arc<Through>,
}

/// The jobs of this run that are through: how often each.
#[derive(Default)]
struct Through {
    jobs: Mutex<BTreeMap<String, u32>>,
    changed: Notify,
}

impl Through {
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
            Some("broken") => return Err(format!("{image} is no image").into()),
            _ => Duration::from_millis(300),
        };
        tokio::time::sleep(work).await;
        let delivery = record.receive_count().unwrap_or_default();
        println!("{image} in {work:?} (delivery {delivery})");
        self.count(record);
        Ok(Next::Ack)
    }

    /// By default a message that failed comes again. These never get better: they are written down and deleted.
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
            self.through.add(record.body());
        }
    }
}

/// The queue, to read and to send to: yours, or one that is made at a stand-in of SQS, which wants a region and credentials
/// and doesn't look at them.
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
    // What fails is logged by the pipeline; this shows it.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let (source, publisher) = queue().await?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let run = format!("{}-{}", started.as_millis(), std::process::id());
    send(&publisher, &run).await?;
    println!("sent {JOBS} jobs");

    let through = Arc::new(Through::default());
    let handler = Thumbnails {
        run,
        through: through.clone(),
    };
    let summary = Summary::default();
    // Shorter than the work, to show what happens; in earnest, what a crash may delay its jobs by.
    let source = source.visibility_timeout(Duration::from_secs(3));
    let topology = Pipeline::new(source, handler)
        .name("thumbnails")
        // One job at a time for each: more would wait behind one that takes long.
        .processors(Processors::new(8).max_demand(1))
        .observe(summary.clone())
        .start()
        .await?;
    println!("{}", topology.describe());
    tokio::select! {
        () = through.wait_for(JOBS) => drop(topology.drain().await?),
        ended = topology.wait_or_signal() => drop(ended?),
    }

    let counts = through.counts();
    let repeated = counts.values().filter(|times| **times > 1).count();
    println!("{summary}");
    println!(
        "{} of {JOBS} jobs are through, {repeated} of them more than once",
        counts.len()
    );
    Ok(())
}
