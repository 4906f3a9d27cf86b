//! Shared by all scenarios: the messages, callers that publish them, and the pipeline that reads them.

use std::hint::black_box;
use std::marker::PhantomData;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use broadway::telemetry::{Event, Observer};
use broadway::{
    Handler, Message, Next, NoBatcher, Outgoing, Pipeline, Processors, Publisher, Record,
    source::{Source, SourceProducer},
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::BoxError;
use super::brokers::clock::{Clock, Cost};

/// The size used in the figures that we compare with.
pub(crate) const PAYLOAD: &[u8] = &[b'x'; 100];

/// A unique name.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_micros());
    format!(
        "bench-{}-{now}-{}",
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Publishes `messages` from `callers` concurrent callers, in calls of `size` messages each, as the batch processors of a
/// pipeline do, and then closes the publisher.
pub(crate) async fn publish<P: Publisher>(
    publisher: P,
    messages: u64,
    callers: usize,
    size: usize,
) -> Result<Cost, BoxError> {
    let publisher = Arc::new(publisher);
    let clock = Clock::new(messages);
    let begun = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    clock.begin();
    for _ in 0..callers {
        let (publisher, clock, begun) = (Arc::clone(&publisher), clock.clone(), Arc::clone(&begun));
        tasks.spawn(async move {
            loop {
                let from = begun.fetch_add(size as u64, Ordering::Relaxed);
                let n = messages.saturating_sub(from).min(size as u64);
                if n == 0 {
                    return Ok(());
                }
                let batch = (0..n).map(|_| Outgoing::new(PAYLOAD));
                let results = publisher.publish(batch.collect()).await;
                if let Some(error) = results.into_iter().find_map(Result::err) {
                    return Err(error);
                }
                clock.handled(n);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let cost = clock.cost().ok_or("not all messages were confirmed")?;
    publisher.close().await?;
    Ok(cost)
}

/// Reads `messages` with a pipeline whose handler looks at the first byte, from the first of them until the pipeline is
/// drained: until all are acknowledged.
pub(crate) async fn read<S, R>(source: S, messages: u64) -> Result<Cost, BoxError>
where
    S: Source<Producer: SourceProducer<Item = R>>,
    R: Record,
{
    // One more for the drain.
    let clock = Clock::new(messages + 1);
    let end = Arc::new(Notify::new());
    let observer = Watch {
        clock: clock.clone(),
        seen: AtomicU64::new(0),
        messages,
        end: Arc::clone(&end),
    };
    let topology = Pipeline::new(source, Touch(PhantomData))
        .name("bench")
        .processors(Processors::new(PROCESSORS))
        .observe(observer)
        .start()
        .await?;
    if timeout(PATIENCE, end.notified()).await.is_err() {
        let seen = topology.totals();
        return Err(
            format!("not all of {messages} messages were read in {PATIENCE:?}: {seen:?}").into(),
        );
    }
    let drained = timeout(PATIENCE, topology.drain()).await;
    drained.map_err(|_| format!("not drained in {PATIENCE:?}"))??;
    clock.handled(1);
    Ok(clock.cost().ok_or("not all messages arrived")?)
}

/// The bound on every wait, reached only by a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a loop over a bare client. Fails if it hangs.
pub(crate) async fn bounded(
    program: impl Future<Output = Result<(), BoxError>>,
) -> Result<(), BoxError> {
    let ended = timeout(PATIENCE, program).await;
    ended.map_err(|_| format!("the loop over the bare client did not end in {PATIENCE:?}"))?
}

/// Processors of a pipeline that reads.
const PROCESSORS: usize = 2;

/// Looks at the first byte, as the loops over the bare clients do.
struct Touch<R>(PhantomData<fn(R)>);

impl<R: Record> Handler for Touch<R> {
    type In = R;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<R>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        black_box(message.data().payload().first());
        Ok(Next::Ack)
    }
}

/// Counts chunks.
struct Watch {
    clock: Clock,
    seen: AtomicU64,
    messages: u64,
    end: Arc<Notify>,
}

impl Observer for Watch {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        match *event {
            Event::ChunkStarted { .. } => self.clock.begin(),
            Event::ChunkStopped { done, .. } => {
                let done = done as u64;
                self.clock.handled(done);
                let before = self.seen.fetch_add(done, Ordering::AcqRel);
                if before < self.messages && before + done >= self.messages {
                    self.end.notify_one();
                }
            }
            _ => {}
        }
    }
}
