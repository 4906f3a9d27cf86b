//! A member of the group: a pipeline that writes handled records to a ledger, in batches by key.

use std::time::Duration;

use broadway::{
    Batch, Batching, BoxError, Handler, Message, Next, OnDrain, OneBatcher, Pipeline, Processors,
    RateLimit, Record, Topology,
    kafka::{Kafka, KafkaRecord, StartOffset},
};

use crate::ledger::Entry;

/// Writes the handled records of a batch at once.
pub(crate) trait Write: Send + Sync + 'static {
    fn write(&self, entries: &[Entry]) -> Result<(), BoxError>;
}

impl<F: Fn(&[Entry]) -> Result<(), BoxError> + Send + Sync + 'static> Write for F {
    fn write(&self, entries: &[Entry]) -> Result<(), BoxError> {
        self(entries)
    }
}

struct ToLedger<W>(W);

impl<W: Write> Handler for ToLedger<W> {
    type In = KafkaRecord;
    type Out = Entry;
    type Batcher = OneBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<KafkaRecord>,
    ) -> Result<Next<Entry, OneBatcher>, BoxError> {
        let record = message.data();
        let key = u32::from_be_bytes(record.key().ok_or("no key")?.try_into()?);
        let number = u32::from_be_bytes(record.payload().try_into()?);
        Ok(Next::batch(OneBatcher, Entry { key, number }).key(key % 16))
    }

    async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<Entry>) -> Result<(), BoxError> {
        self.0.write(batch.data())
    }
}

/// The most records of one partition that are handled and not committed.
pub(crate) const UNCOMMITTED_MAX: usize = 2_000;

/// Starts a member that handles at most `per_second` records.
pub(crate) async fn start(
    broker: &str,
    topic: &str,
    group: &str,
    per_second: usize,
    write: impl Write,
) -> Topology<KafkaRecord> {
    let source = Kafka::topics([topic])
        .brokers(broker)
        .group(group)
        .start_offset(StartOffset::Earliest)
        .uncommitted_max(UNCOMMITTED_MAX)
        .commit_interval(Duration::from_millis(200))
        .set("heartbeat.interval.ms", "500")
        .set("session.timeout.ms", "6000");
    Pipeline::new(source, ToLedger(write))
        .name("member")
        .processors(Processors::new(4).by_record_key())
        .batchers(|_| Batching::new(100, Duration::from_millis(50)).concurrency(2))
        .rate_limit(RateLimit::per(per_second / 10, Duration::from_millis(100)))
        // Members repeat no records when they leave, even on a slow machine.
        .on_drain(OnDrain::Finish)
        .start()
        .await
        .unwrap()
}
