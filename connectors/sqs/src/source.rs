//! What the engine holds: [`Sqs`] opens producers, and [`SqsProducer`] delivers the messages that its polls return.
//!
//! Polls and the ack task run on a thread of the connector's own, where the client's connections are made and driven, so a handler
//! that blocks its thread holds up neither.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use aws_sdk_sqs::types::MessageSystemAttributeName;
use broadway_core::{
    BoxError, ConfigError, Deadline, OpenContext, Problem, Produced, Source, SourceProducer,
    connector::{ClientRuntime, ConnectorError},
    portable::{ENCODING, HEADERS, KEY, TIME},
    telemetry::MessageInfo,
};
use tokio::{task::JoinSet, time::timeout_at};

use crate::{
    ack::SqsAcknowledger,
    ack_task,
    config::{Sqs, is_visibility_timeout},
    connect::{ConnectionPool, client_runtime, with_timeouts},
    lag, poll,
    record::SqsRecord,
    shared::{Deliveries, SqsShared},
};

/// Maximum number of message attributes, a limit of SQS.
const ATTRIBUTES_MAX: usize = 10;

impl Source for Sqs {
    type Producer = SqsProducer;

    /// Checks the options: an invalid URL, values out of range, a region that is not the queue's.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Connects to the queue and reads its visibility timeout.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options are invalid. Otherwise fails with a [`ConnectorError`] that names the option: no region
    /// or credentials are found, the queue does not exist or rejects the requests, or nothing answers within `connect_timeout`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no message was received.
    async fn open(&self, cx: &OpenContext) -> Result<SqsProducer, BoxError> {
        let mut problems = self.problems();
        problems.extend(self.pipeline_problems(cx));
        ConfigError::check("the SQS source", problems)?;
        let runtime = client_runtime(cx.producer(), self.access.client.is_some())?;
        let (source, own_cx) = (self.with_required_attributes(), cx.clone());
        let shared = runtime
            .run(async move { source.connect(&own_cx).await })
            .await??;
        let (acks, alive) = (ack_task::run(shared.clone()), runtime.clone());
        // Not joined: it outlives the producer, and keeps the thread alive, until the last message is settled.
        drop(runtime.spawn(async move {
            acks.await;
            drop(alive);
        }));
        let mut lag = JoinSet::new();
        lag.spawn_on(lag::report(shared.clone()), runtime.handle());
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
    async fn connect(self, cx: &OpenContext) -> Result<Arc<SqsShared>, ConnectorError> {
        let deadline = Deadline::after(self.access.connect_timeout);
        let client = self.access.connect(deadline).await?;
        let request_timeout = self.access.request_timeout;
        let tuned = |wait| with_timeouts(&client, ConnectionPool::Source, wait, request_timeout);
        let ack_client = tuned(Duration::ZERO);
        let of_queue = self.access.find(&ack_client, deadline).await?;
        let visibility = self.effective_visibility(of_queue.visibility)?;
        if let Some(limit) = of_queue.delivery_limit {
            limit.report(cx, &self.access.queue_url().name);
        }
        let clients = (tuned(self.wait_time), ack_client);
        Ok(Arc::new(SqsShared::new(self, clients, visibility, cx)))
    }

    /// Adds the attributes that are always requested.
    fn with_required_attributes(&self) -> Self {
        let mut source = self.clone();
        let names = &mut source.system_attributes;
        let mut required = vec![MessageSystemAttributeName::ApproximateReceiveCount];
        if self.access.queue_url().is_fifo() {
            required.push(MessageSystemAttributeName::MessageGroupId);
        }
        if !names.contains(&MessageSystemAttributeName::All) {
            required.retain(|name| !names.contains(name));
            names.extend(required);
        }
        let names = &mut source.message_attributes;
        if !names.iter().any(|name| name == "All") {
            let parts = (2..=ATTRIBUTES_MAX).map(|part| format!("{HEADERS}-{part}"));
            names.extend([ENCODING, KEY, TIME, HEADERS].map(str::to_owned));
            names.extend(parts);
        }
        source
    }

    fn effective_visibility(&self, of_queue: Option<Duration>) -> Result<Duration, ConnectorError> {
        let url = &self.access.url;
        let Some(visibility) = self.visibility_timeout.or(of_queue) else {
            return Err(ConnectorError::auth(format!(
                "cannot read the visibility timeout of `queue` = {url:?}: grant the permission sqs:GetQueueAttributes, or set the \
                 option `visibility_timeout`"
            )));
        };
        if is_visibility_timeout(visibility) {
            return Ok(visibility);
        }
        Err(ConnectorError::permanent(format!(
            "`queue` = {url:?} has a visibility timeout of {visibility:?}, too short to extend; set the option `visibility_timeout`"
        )))
    }
}

/// Delivers the messages that its polls return, and polls on demand only.
///
/// If it is dropped without [`close`](SourceProducer::close), messages that it has not delivered are returned to the queue. Those
/// that it has delivered stay hidden, and are deleted when they are settled, by a background task.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct SqsProducer {
    shared: Arc<SqsShared>,
    /// Dropping the last one ends the ack task, so the producer keeps one.
    acknowledger: Arc<SqsAcknowledger>,
    polls: JoinSet<()>,
    /// Aborted with the producer.
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

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Deliveries,
    ) -> Result<Produced, BoxError> {
        loop {
            // Cancel safe: polls are tasks, the `Notify` keeps a wakeup without a waiter, and nothing is awaited after
            // messages were taken.
            while self.polls.try_join_next().is_some() {}
            let taken = self.shared.take_buffered(demand.get(), out)?;
            for max in taken.polls {
                let poll = poll::poll(self.shared.clone(), max);
                self.polls.spawn_on(poll, self.runtime.handle());
            }
            if taken.n > 0 {
                return Ok(Produced::More);
            }
            let changed = self.shared.producer_wakeup.notified();
            match taken.retry_at {
                None => changed.await,
                Some(at) => drop(timeout_at(at.into(), changed).await),
            }
        }
    }

    /// Starts no more polls. Messages that open polls return until [`close`](SourceProducer::close) go back to the queue at once.
    async fn stop(&mut self) {
        self.shared.stop();
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.shared.lag.end();
        let close_timeout = self.shared.source.close_timeout;
        let deadline = Deadline::after(close_timeout);
        self.shared.stop();
        // Entries that were given up earlier have been reported then.
        let (given_up_before, _) = self.shared.unconfirmed();
        let polls_ended = async { while self.polls.join_next().await.is_some() {} };
        // A poll that is cancelled may take messages with it, which stay hidden until their visibility timeout ends.
        let polls_deadline = Deadline::after(self.shared.source.polls_timeout);
        if polls_deadline.within(polls_ended).await.is_none() {
            self.polls.shutdown().await;
        }
        // Only after the polls, which still return messages.
        self.shared.release_all();
        let is_late = deadline
            .within(self.shared.wait_until_idle())
            .await
            .is_none();
        let (given_up, left) = self.shared.unconfirmed();
        // The ack task may still use the rest of the time.
        self.shared.finish(deadline);
        if is_late {
            let text = format!(
                "{left} deletes and returns were not confirmed within {close_timeout:?} (`close_timeout`); their messages are \
                 delivered again when their visibility timeout ends"
            );
            return Err(ConnectorError::transient(text).into());
        }
        if given_up > given_up_before {
            let n = given_up - given_up_before;
            let text = format!(
                "{n} deletes and returns were given up while closing; their messages are delivered again when their visibility \
                 timeout ends"
            );
            return Err(ConnectorError::transient(text).into());
        }
        Ok(())
    }
}

impl Drop for SqsProducer {
    fn drop(&mut self) {
        self.shared.lag.end();
        // The ack task goes on: it ends with the last acknowledger, which the engine may still hold.
        self.shared.stop();
    }
}

impl fmt::Debug for SqsProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsProducer")
            .field("producer", &self.shared.producer)
            .finish_non_exhaustive()
    }
}
