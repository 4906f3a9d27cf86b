//! The two halves that the engine holds: [`Sqs`] opens producers, [`SqsProducer`] delivers what its polls bring.
//!
//! Polls and the keeper run on a thread of the connector's own, where the client's connections are made and driven: a handler
//! that blocks its thread holds up neither. `runtime` says whose thread that is.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use broadway_core::{
    BoxError, ConfigError, Deadline, OpenContext, Problem, Produced, Source, SourceProducer,
    connector::ClientRuntime,
    portable::{ENCODING, HEADERS, KEY, TIME},
    telemetry::MessageInfo,
};
use tokio::{task::JoinSet, time::timeout_at};

use crate::{
    ack::SqsAcknowledger,
    config::{Sqs, is_visibility},
    connect::{Pool, tuned},
    keeper, lag, poll,
    record::SqsRecord,
    runtime,
    shared::{Out, Shared},
};

/// The most attributes of a message.
const ATTRIBUTES_MAX: usize = 10;

impl Source for Sqs {
    type Producer = SqsProducer;

    /// All options that cannot work: a URL that is none, what is out of range, a region that is not the queue's.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Finds the queue, and how long it hides messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; otherwise a text that names the option: no region or no credentials are
    /// known, the queue does not exist or refuses us, nobody answers within `connect_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing was fetched.
    async fn open(&self, cx: &OpenContext) -> Result<SqsProducer, BoxError> {
        let mut problems = self.problems();
        problems.extend(self.problems_in(cx));
        ConfigError::check("the SQS source", problems)?;
        let runtime = runtime::of(cx.producer(), self.access.client.is_some())?;
        let (source, own) = (self.complete(), cx.clone());
        let shared = runtime
            .run(async move { source.connect(&own).await })
            .await??;
        let (keeper, alive) = (keeper::keep(shared.clone()), runtime.clone());
        let keeping = runtime.spawn(async move {
            keeper.await;
            drop(alive);
        });
        drop(keeping);
        let mut lag = JoinSet::new();
        lag.spawn_on(lag::tell(shared.clone()), runtime.handle());
        Ok(SqsProducer {
            acknowledger: Arc::new(SqsAcknowledger::new(shared.clone())),
            shared,
            polls: JoinSet::new(),
            _lag: lag,
            runtime,
        })
    }
}

impl Sqs {
    async fn connect(self, cx: &OpenContext) -> Result<Arc<Shared>, BoxError> {
        let deadline = Deadline::after(self.access.connect_timeout);
        let client = self.access.connect(deadline).await?;
        let tuned = |wait| tuned(&client, Pool::Source, wait, self.access.request_timeout);
        let acks = tuned(Duration::ZERO);
        let of_queue = self.access.find(&acks, deadline).await?;
        let visibility = self.visibility(of_queue)?;
        let clients = (tuned(self.wait_time), acks);
        Ok(Arc::new(Shared::new(self, clients, visibility, cx)))
    }

    /// With what is always asked for.
    fn complete(&self) -> Self {
        let mut source = self.clone();
        let names = &mut source.system_attributes;
        let (all, group) = (
            MessageSystemAttributeName::All,
            MessageSystemAttributeName::MessageGroupId,
        );
        if self.access.address().is_fifo() && !names.contains(&all) && !names.contains(&group) {
            names.push(group);
        }
        let names = &mut source.message_attributes;
        if !names.iter().any(|name| name == "All") {
            let more = (2..=ATTRIBUTES_MAX).map(|part| format!("{HEADERS}-{part}"));
            names.extend([ENCODING, KEY, TIME, HEADERS].map(str::to_owned));
            names.extend(more);
        }
        source
    }

    fn visibility(&self, of_queue: Option<Duration>) -> Result<Duration, BoxError> {
        let url = &self.access.url;
        let Some(visibility) = self.visibility_timeout.or(of_queue) else {
            return Err(format!(
                "the visibility time-out of `queue` = {url:?} is not known, for the permission sqs:GetQueueAttributes is missing; \
                 grant it, or set the option `visibility_timeout`"
            )
            .into());
        };
        if is_visibility(visibility) {
            return Ok(visibility);
        }
        Err(format!(
            "`queue` = {url:?} hides messages for {visibility:?} only, so that none could be held; set the option `visibility_timeout`"
        )
        .into())
    }
}

/// Delivers what its polls bring, only as much as it is asked for.
///
/// Dropped without [`close`](SourceProducer::close), it gives back what it has not delivered. What it has delivered is still kept hidden, and
/// deleted when it is settled, by a task of its own.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct SqsProducer {
    shared: Arc<Shared>,
    /// Kept so that its end, which is that of the keeper, comes after that of the producer.
    acknowledger: Arc<SqsAcknowledger>,
    polls: JoinSet<()>,
    /// Ends with this.
    _lag: JoinSet<()>,
    runtime: ClientRuntime,
}

impl SourceProducer for SqsProducer {
    type Item = SqsRecord;
    type Acknowledger = SqsAcknowledger;

    fn acknowledger(&self) -> Arc<SqsAcknowledger> {
        self.acknowledger.clone()
    }

    fn describe(record: &SqsRecord) -> MessageInfo {
        MessageInfo::of_record(record).attempt(record.receive_count())
    }

    async fn produce(&mut self, demand: NonZeroUsize, out: &mut Out) -> Result<Produced, BoxError> {
        loop {
            // Cancel safe: polls are tasks, the bell keeps a ring that nobody waited for, and nothing is awaited after
            // messages were taken.
            while self.polls.try_join_next().is_some() {}
            let taken = self.shared.take(demand.get(), out)?;
            for ask in taken.polls {
                let poll = poll::poll(self.shared.clone(), ask);
                self.polls.spawn_on(poll, self.runtime.handle());
            }
            if taken.n > 0 {
                return Ok(Produced::More);
            }
            let rung = self.shared.bell.notified();
            match taken.again_at {
                None => rung.await,
                Some(at) => drop(timeout_at(at.into(), rung).await),
            }
        }
    }

    /// Begins no more polls. What those on their way bring until [`close`](SourceProducer::close) goes back at once.
    async fn stop(&mut self) {
        self.shared.stop();
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.shared.lag.end();
        let deadline = Deadline::after(self.shared.source.close_timeout);
        self.shared.stop();
        let (before, _) = self.shared.unconfirmed();
        let all_ended = async { while self.polls.join_next().await.is_some() {} };
        // One that is cut may take messages with it: they are hidden until their visibility ends.
        let polls_deadline = Deadline::after(self.shared.source.polls_timeout);
        if polls_deadline.within(all_ended).await.is_none() {
            self.polls.shutdown().await;
        }
        self.shared.abandon();
        let is_late = deadline.within(self.shared.all_said()).await.is_none();
        let (after, left) = self.shared.unconfirmed();
        self.shared.end(deadline);
        if is_late {
            return Err(format!(
                "{left} deletes and returns of messages were not confirmed within {:?} (`close_timeout`); these messages come \
                 again when their visibility ends",
                self.shared.source.close_timeout
            )
            .into());
        }
        if after > before {
            let n = after - before;
            return Err(format!(
                "{n} deletes and returns of messages were given up while closing; these messages come again when their visibility ends"
            )
            .into());
        }
        Ok(())
    }
}

impl Drop for SqsProducer {
    fn drop(&mut self) {
        self.shared.lag.end();
        self.shared.stop();
    }
}

impl std::fmt::Debug for SqsProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqsProducer")
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}
