//! The source and its producer: [`RabbitMq`] opens producers, and [`RabbitMqProducer`] delivers what its consumer receives.

use std::{future::poll_fn, num::NonZeroUsize, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, ConfigError, Deadline, OpenContext, Problem, Produced, Source, SourceProducer,
    connector::ConnectorError, telemetry::MessageInfo,
};
use futures_util::future::{FutureExt, join};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    ack::RabbitMqAcknowledger,
    ack_task,
    applied::wait_until_applied,
    config::RabbitMq,
    consume::OpenConsumer,
    delivery_reader::{ConsumerLoss, DeliveryBuffer, DeliveryReader, ReadOutcome},
    error::reply_text,
    lag,
    reconnect::{Reconnected, failures_after, reconnect},
    record::RabbitMqRecord,
    shared::SharedChannel,
    wire::client_runtime,
};

/// A connection that lasts this long is a success even if it settled no message: the queue may be empty.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// How long `close` waits for the connection to close after the channel has closed. No message depends on it.
const CONNECTION_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

impl Source for RabbitMq {
    type Producer = RabbitMqProducer;

    /// Validates the options without connecting: the URI, names that AMQP cannot carry, values out of range.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Connects, sets up the queue and starts to consume it.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options cannot work, among them a [`prefetch`](RabbitMq::prefetch) below the size of a batch.
    /// Otherwise fails with a [`ConnectorError`] that names the option:
    ///
    /// - [`Transient`](broadway_core::connector::ConnectorErrorKind::Transient) if no broker answers within `connect_timeout`, or another
    ///   consumer has exclusive access;
    /// - [`Auth`](broadway_core::connector::ConnectorErrorKind::Auth) if the broker rejects the user or the vhost, or the user lacks a
    ///   permission;
    /// - [`Permanent`](broadway_core::connector::ConnectorErrorKind::Permanent) if the queue does not exist or has other properties.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: messages that the broker has sent go back to the queue.
    async fn open(&self, cx: &OpenContext) -> Result<RabbitMqProducer, BoxError> {
        let mut problems = self.problems();
        problems.extend(self.problems_in(cx));
        ConfigError::check("the RabbitMQ source", problems)?;
        let mut source = self.clone();
        let name = || format!("{}-{}", cx.pipeline(), cx.producer());
        let connection_name = &mut source.connect_options.connection_name;
        connection_name.get_or_insert_with(name);
        let window = self.window(cx);
        let opened = source.open_consumer(window, None).await;
        let opened = opened.map_err(ConnectorError::from)?;
        self.report_delivery_limit(cx, &opened);
        let shared = Arc::new(SharedChannel::new(cx, self, window));
        let (of_task, lag_interval) = (shared.clone(), self.lag_interval);
        let background = async move {
            join(
                ack_task::send_due(&of_task),
                lag::report_lag(&of_task, lag_interval),
            )
            .await
        };
        // On the connection's thread: a handler that blocks its own thread does not delay acknowledgements.
        let runtime = client_runtime().await.map_err(ConnectorError::transient)?;
        let mut background_tasks = JoinSet::new();
        background_tasks.spawn_on(background.map(drop), &runtime);
        Ok(RabbitMqProducer {
            acknowledger: Arc::new(RabbitMqAcknowledger::new(shared.clone())),
            consumer: ConsumerState::open(DeliveryReader::start(opened, &shared)),
            shared,
            source: Arc::new(source),
            failures: 0,
            is_reported: false,
            _background_tasks: background_tasks,
        })
    }
}

impl RabbitMq {
    /// Reports how often the broker delivers a message, if this source declares the queue. AMQP shows no arguments of other queues.
    fn report_delivery_limit(&self, cx: &OpenContext, opened: &OpenConsumer) {
        let declare = self.declare.as_ref();
        let limit =
            declare.and_then(|queue| queue.known_delivery_limit(opened.mended.broker_major()));
        if let Some(limit) = limit {
            limit.report(cx, &opened.queue);
        }
    }
}

/// Delivers the messages of one consumer, and opens another when that is lost.
///
/// If it is dropped without [`close`](SourceProducer::close), its connection closes, and unacknowledged messages are delivered again.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct RabbitMqProducer {
    source: Arc<RabbitMq>,
    shared: Arc<SharedChannel>,
    acknowledger: Arc<RabbitMqAcknowledger>,
    consumer: ConsumerState,
    /// Connections that were lost before they settled a message or lasted, and attempts that failed since.
    failures: u32,
    /// `close` has returned how many messages may be delivered again, so `drop` does not report it.
    is_reported: bool,
    /// Aborted when this is dropped.
    _background_tasks: JoinSet<()>,
}

enum ConsumerState {
    Open(Box<DeliveryReader>),
    /// A task connects. It fails if no later attempt would succeed.
    Reconnecting(JoinSet<Result<Reconnected, BoxError>>),
    /// Nothing more is read, for this reason; the pipeline still has messages of this consumer.
    Halted(Box<DeliveryReader>, String),
    /// Nothing more is read. With the consumer whose messages are still to be settled, if there is one.
    Stopped(Option<Box<DeliveryReader>>),
}

impl ConsumerState {
    fn open(reader: DeliveryReader) -> Self {
        Self::Open(Box::new(reader))
    }
}

impl SourceProducer for RabbitMqProducer {
    type Item = RabbitMqRecord;
    type Acknowledger = RabbitMqAcknowledger;

    fn acknowledger(&self) -> Arc<RabbitMqAcknowledger> {
        self.acknowledger.clone()
    }

    fn describe(record: &RabbitMqRecord) -> MessageInfo {
        MessageInfo::of_record(record).attempt(record.attempt())
    }

    /// Waits for deliveries. A lost consumer is replaced here.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConnectorError`] if a lost consumer cannot be replaced, or if the source has halted because of an unreadable message
    /// ([`Permanent`](broadway_core::connector::ConnectorErrorKind::Permanent)).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the client keeps deliveries until a poll returns them, and connecting is a task of its own.
    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut DeliveryBuffer,
    ) -> Result<Produced, BoxError> {
        loop {
            match &mut self.consumer {
                ConsumerState::Open(reader) => {
                    let shared = &*self.shared;
                    let read = tokio::select! {
                        // Deliveries first: what arrived before a loss of the channel is checked against it in `poll_read`.
                        biased;
                        read = poll_fn(|cx| reader.poll_read(cx, shared, demand.get(), out)) => read,
                        () = shared.channel_lost.notified() => {
                            if shared.generation() == reader.generation {
                                // The notification belongs to an earlier channel, for which nothing waited.
                                continue;
                            }
                            Err(ConsumerLoss::new("the channel was given up"))
                        }
                    };
                    match read {
                        Ok(ReadOutcome::Deliveries) => return Ok(Produced::More),
                        Ok(ReadOutcome::Halted(reason)) => self.halt(reason),
                        Err(loss) => self.start_reconnect(&loss),
                    }
                }
                ConsumerState::Halted(reader, reason) => {
                    let (within, reason) = (self.source.close_timeout, reason.clone());
                    settle_halted(&self.shared, reader, within).await;
                    return Err(ConnectorError::permanent(reason).into());
                }
                ConsumerState::Reconnecting(task) => {
                    let Some(ended) = task.join_next().await else {
                        let text = "the connection to RabbitMQ is lost";
                        return Err(ConnectorError::transient(text).into());
                    };
                    let Reconnected { opened, failures } = ended??;
                    // Counts as a failure until it settles a message or lasts.
                    self.failures = failures.saturating_add(1);
                    self.consumer =
                        ConsumerState::open(DeliveryReader::start(opened, &self.shared));
                }
                ConsumerState::Stopped(_) => return Ok(Produced::End),
            }
        }
    }

    /// Cancels the consumer. Messages that the client received and the pipeline did not get go back to the queue.
    async fn stop(&mut self) {
        if let ConsumerState::Stopped(_) = self.consumer {
            return;
        }
        self.shared.stop();
        let consumer = std::mem::replace(&mut self.consumer, ConsumerState::Stopped(None));
        let mut reader = match consumer {
            ConsumerState::Open(reader) => reader,
            // Its consumer is cancelled already.
            ConsumerState::Halted(reader, _) => {
                self.consumer = ConsumerState::Stopped(Some(reader));
                return;
            }
            ConsumerState::Reconnecting(_) | ConsumerState::Stopped(_) => return,
        };
        match timeout(self.source.close_timeout, reader.cancel(&self.shared)).await {
            Ok(Ok(tags)) => {
                let tags = tags.into_iter();
                self.shared.requeue_undelivered(reader.generation, tags);
                self.consumer = ConsumerState::Stopped(Some(reader));
            }
            Ok(Err(error)) => self.lost_while_stopping(&reply_text(&error), reader.generation),
            Err(_) => self.lost_while_stopping("the broker did not answer", reader.generation),
        }
    }

    /// Waits until the broker has received all acknowledgements, for at most `close_timeout`.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConnectorError`] that contains the most messages that may be delivered again, if the broker did not confirm that it
    /// received their acknowledgements.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before it completes, `SourceError` reports the same.
    async fn close(mut self) -> Result<(), BoxError> {
        self.shared.lag.end();
        let deadline = Deadline::after(self.source.close_timeout);
        let consumer = std::mem::replace(&mut self.consumer, ConsumerState::Stopped(None));
        let result = match consumer {
            ConsumerState::Open(reader)
            | ConsumerState::Halted(reader, _)
            | ConsumerState::Stopped(Some(reader))
                if self.shared.finish() =>
            {
                self.close_consumer(*reader, deadline).await
            }
            _ => self.check_unconfirmed("the connection was lost"),
        };
        self.is_reported = true;
        result
    }
}

impl RabbitMqProducer {
    async fn close_consumer(
        &mut self,
        reader: DeliveryReader,
        deadline: Deadline,
    ) -> Result<(), BoxError> {
        let closed = deadline.within(close_channel(&self.shared, &reader.opened, "closed"));
        let result = match closed.await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => self.check_unconfirmed(&reply_text(&error)),
            None => self.check_unconfirmed(&format!(
                "the broker did not answer within {:?} (`close_timeout`)",
                self.source.close_timeout
            )),
        };
        let closing = reader.opened.connection.close(200, "closed".into());
        let within = deadline.remaining().min(CONNECTION_CLOSE_TIMEOUT);
        drop(timeout(within, closing).await);
        result
    }

    /// Starts the task that replaces the consumer.
    fn start_reconnect(&mut self, loss: &ConsumerLoss) {
        let mut reason = loss.reason.clone();
        if let Some(limit) = loss.consumer_timeout {
            // Before the channel is given up, and with it the age of its messages.
            reason = format!("{reason}; {}", self.shared.consumer_timed_out(limit));
        }
        if let ConsumerState::Open(reader) = &self.consumer {
            let has_lasted = reader.since.elapsed() >= STABLE_AFTER;
            self.failures = failures_after(self.failures, self.shared.has_settled(), has_lasted);
            self.shared.lose_channel(reader.generation);
        }
        self.shared.report_source_error(&format!(
            "the consumer of {:?} was lost and is opened again: {reason}",
            self.source.queue
        ));
        let mut task = JoinSet::new();
        task.spawn(reconnect(
            self.source.clone(),
            self.shared.clone(),
            self.failures,
        ));
        self.consumer = ConsumerState::Reconnecting(task);
    }

    fn halt(&mut self, reason: String) {
        self.consumer = match std::mem::replace(&mut self.consumer, ConsumerState::Stopped(None)) {
            ConsumerState::Open(reader) => ConsumerState::Halted(reader, reason),
            other => other,
        };
    }

    fn lost_while_stopping(&self, reason: &str, generation: u64) {
        self.shared.lose_channel(generation);
        self.shared.report_source_error(&format!(
            "the consumer of {:?} was lost while it was being stopped: {reason}",
            self.source.queue
        ));
    }

    /// The result of closing if the broker did not confirm that it received the acknowledgements. Succeeds if none was due: unsettled
    /// messages go back to the queue with the connection, as they should.
    fn check_unconfirmed(&self, reason: &str) -> Result<(), BoxError> {
        match self.shared.unconfirmed() {
            0 => Ok(()),
            n => Err(ConnectorError::transient(format!(
                "up to {n} acknowledgements to `queue` = {:?} were not confirmed while closing: {reason}; these messages may be delivered again",
                self.source.queue
            ))
            .into()),
        }
    }
}

/// Waits until the pipeline has settled all messages of a halted consumer, or its channel is lost; then until the broker has received the
/// acknowledgements. Cancel safe.
async fn settle_halted(shared: &SharedChannel, reader: &mut DeliveryReader, within: Duration) {
    while shared.generation() == reader.generation && !shared.is_idle() {
        tokio::select! {
            () = shared.idle.notified() => {}
            () = shared.channel_lost.notified() => {}
        }
    }
    if shared.generation() == reader.generation && shared.finish() {
        drop(timeout(within, close_channel(shared, &reader.opened, "halted")).await);
    }
}

/// Closes the channel, after which the broker delivers no settled message again: it handles the frames of a channel in order, and
/// [`finish`](SharedChannel::finish) queued the last settlements before these.
async fn close_channel(
    shared: &SharedChannel,
    opened: &OpenConsumer,
    reason: &str,
) -> lapin::Result<()> {
    let OpenConsumer { channel, queue, .. } = opened;
    if shared.must_wait_until_applied() {
        wait_until_applied(channel, queue).await?;
    }
    channel.close(200, reason.into()).await
}

/// A stop or a close that is dropped before it completes, as at the end of a drain's time, still reports the messages that may be
/// delivered again.
impl Drop for RabbitMqProducer {
    fn drop(&mut self) {
        let is_unreported = self.shared.is_stopped() && !self.is_reported;
        let reason = "closing was abandoned before the broker answered";
        if is_unreported && let Err(error) = self.check_unconfirmed(reason) {
            self.shared.report_source_error(&error.to_string());
        }
        self.shared.lag.end();
        // Acknowledgements that still arrive must not meet a channel that closes with this producer.
        self.shared.lose_channel(self.shared.generation());
    }
}

impl std::fmt::Debug for RabbitMqProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RabbitMqProducer")
            .field("queue", &self.source.queue)
            .field("generation", &self.shared.generation())
            .finish_non_exhaustive()
    }
}
