//! How do I read from a system without a connector, and acknowledge to it?
//!
//! Run: `cargo run --example own_source`
//!
//! A source has three small parts: `Source` opens producers, `SourceProducer` delivers messages on
//! demand, and `Acknowledger` receives the outcome of each message. Here they read an in-memory job
//! queue, which redelivers a failed job up to three times. Job 3 fails twice and then succeeds, job 7
//! is given up. Ends with `queue: 9 done, 1 given up, 0 left`.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard},
};

use broadway::{
    BoxError, Message, Pipeline, handler_fn,
    source::{
        Acknowledger, Delivery, OpenContext, Outcome, Produced, Settled, Source, SourceProducer,
    },
    telemetry::MessageInfo,
};
use tokio::sync::Notify;

#[derive(Debug, Clone, Copy)]
struct Job {
    id: u32,
    attempt: u32,
}

/// The queue. A real one could be a database table with a column `taken_by`.
#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    changed: Notify,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    delivered: usize,
    done: usize,
    given_up: usize,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs
            .lock()
            .expect("no panic while the queue is locked")
    }
}

/// The configuration. It opens a connection for each producer, at start and after each failure.
struct QueueSource(Arc<Queue>);

impl Source for QueueSource {
    type Producer = QueueProducer;

    async fn open(&self, _cx: &OpenContext) -> Result<QueueProducer, BoxError> {
        Ok(QueueProducer(Arc::clone(&self.0)))
    }
}

/// The connection.
struct QueueProducer(Arc<Queue>);

impl SourceProducer for QueueProducer {
    type Item = Job;
    type Acknowledger = QueueAck;

    fn acknowledger(&self) -> Arc<QueueAck> {
        Arc::new(QueueAck(Arc::clone(&self.0)))
    }

    /// Names a failed job in the log.
    fn describe(job: &Job) -> MessageInfo {
        MessageInfo::new(format!("job {}", job.id)).attempt(job.attempt)
    }

    /// Delivers at least one job and at most `demand`. The future may be dropped at any await, so it
    /// waits first and takes jobs afterwards, without an await in between, and loses none.
    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<Job, Job>>,
    ) -> Result<Produced, BoxError> {
        loop {
            {
                let mut jobs = self.0.lock();
                let n = jobs.waiting.len().min(demand.get());
                if n > 0 {
                    // The token comes back with the outcome. Here it is the job itself; for a broker
                    // it is an offset or a receipt handle.
                    out.extend(jobs.waiting.drain(..n).map(|job| Delivery::new(job, job)));
                    jobs.delivered += n;
                    return Ok(Produced::More);
                }
                if jobs.delivered == 0 {
                    return Ok(Produced::End); // a real queue would keep waiting
                }
            }
            self.0.changed.notified().await;
        }
    }
}

/// Receives outcomes in groups, from several tasks concurrently.
struct QueueAck(Arc<Queue>);

impl Acknowledger for QueueAck {
    type Token = Job;

    async fn settle(&self, settled: &mut Vec<Settled<Job>>) -> Result<(), BoxError> {
        let mut jobs = self.0.lock();
        for ended in settled.drain(..) {
            let Job { id, attempt } = ended.token;
            jobs.delivered -= 1;
            match ended.outcome {
                Outcome::Done => jobs.done += 1,
                Outcome::Failed(_) if attempt == 3 => jobs.given_up += 1,
                Outcome::Failed(_) => jobs.waiting.push_back(Job {
                    id,
                    attempt: attempt + 1,
                }),
                // Released: no handler has begun it.
                _ => jobs.waiting.push_back(ended.token),
            }
        }
        self.0.changed.notify_one();
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let queue = Arc::new(Queue::default());
    queue
        .lock()
        .waiting
        .extend((1..=10).map(|id| Job { id, attempt: 1 }));

    let handler = handler_fn(|message: &mut Message<Job>| {
        let Job { id, attempt } = *message.data();
        let outcome = match id {
            3 if attempt < 3 => Err("not yet".into()),
            7 => Err("never".into()),
            _ => Ok(()),
        };
        println!("job {id}, attempt {attempt}: {outcome:?}");
        outcome
    });
    let source = QueueSource(Arc::clone(&queue));
    Pipeline::new(source, handler).start().await?.wait().await?;

    let jobs = queue.lock();
    let left = jobs.waiting.len();
    println!(
        "queue: {} done, {} given up, {left} left",
        jobs.done, jobs.given_up
    );
    Ok(())
}
