//! What the engine holds: [`PubSub`] opens streams, and [`PubSubProducer`] delivers the messages of one.
//!
//! The client, its leases and all tasks of a producer run on a thread of the producer's own, which no handler can block.

use std::{
    fmt,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use broadway_core::{
    BoxError, ConfigError, Deadline, Delivery, OpenContext, Problem, Produced, Source,
    SourceProducer,
    connector::{ClientRuntime, ConnectorError, LagReporter},
    telemetry::MessageInfo,
};
use futures_util::future::{FutureExt, OptionFuture, join3};
use google_cloud_pubsub::{
    client::Subscriber,
    subscriber::{MessageStream, ShutdownBehavior, ShutdownToken},
};
use tokio::task::JoinHandle;

use crate::{
    ack::{LastAcks, PubSubAcknowledger},
    config::PubSub,
    confirm::Confirmer,
    connect::{LIMIT_MAX, Lookup, ServiceAccess, TimeLimit},
    dead_letters,
    error::Resource,
    health_check::HealthCheck,
    lag,
    liveness::Liveness,
    record::PubSubRecord,
    stream, timers,
    unsettled::{OutstandingLimits, Token, UnsettledMessages},
};

/// How long opening waits for the service to reject the stream, unless it is certain that it will not.
const REJECTION_WAIT: Duration = Duration::from_secs(3);

impl Source for PubSub {
    type Producer = PubSubProducer;

    /// Checks the options without connecting.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Requests the subscription, then opens a stream.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] if options are invalid. Otherwise fails with a [`ConnectorError`] that names the option: there are
    /// no credentials, nothing answers within `connect_timeout`, the subscription does not exist, or reading it is not permitted.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the stream is closed, and messages that it returned are nacked.
    async fn open(&self, cx: &OpenContext) -> Result<PubSubProducer, BoxError> {
        let mut problems = self.problems();
        problems.extend(self.pipeline_problems(cx));
        ConfigError::check("the Pub/Sub source", problems)?;
        let name = format!("pubsub-{}", cx.producer());
        let runtime = ClientRuntime::start(&name).map_err(|error| {
            ConnectorError::transient(format!(
                "cannot start the thread {name:?} of the Pub/Sub client: {error}"
            ))
        })?;
        let (source, cx, own) = (self.clone(), cx.clone(), runtime.clone());
        let opened = runtime.run(async move { source.open_on(own, &cx).await });
        Ok(opened.await??)
    }
}

impl PubSub {
    /// Opens a producer on the current runtime, which must be `runtime`.
    async fn open_on(
        &self,
        runtime: ClientRuntime,
        cx: &OpenContext,
    ) -> Result<PubSubProducer, ConnectorError> {
        let limit = TimeLimit::of_opening(self.connect_timeout);
        let service = self.connect(limit, cx).await?;
        // Emulators have no permissions, so a stream to a subscription that exists is never rejected.
        let is_certain = service.is_emulator && service.is_found;
        let producer = PubSubProducer::start(self, service, runtime, cx);
        if !is_certain {
            producer.await_rejection(limit.deadline).await?;
        }
        Ok(producer)
    }

    async fn connect(
        &self,
        limit: TimeLimit,
        cx: &OpenContext,
    ) -> Result<ConnectedService, ConnectorError> {
        let name = &self.subscription;
        if let Some(client) = &self.client {
            let resource = Resource {
                option: "subscription",
                name: name.clone(),
                endpoint: "the endpoint of `client`".to_owned(),
            };
            return Ok(ConnectedService {
                client: client.get(limit).await?,
                resource,
                access: None,
                is_emulator: false,
                is_found: false,
            });
        }
        let access = ServiceAccess::new(self.endpoint.as_deref(), limit).await?;
        let resource = access.resource("subscription", name);
        let (lookup, found) = access.read_subscription(name, limit).await?;
        if let Some(limit) = found.as_ref().and_then(dead_letters::delivery_limit) {
            limit.report(cx, name);
        }
        match (lookup, &self.create_if_missing) {
            (Lookup::Missing, Some(new)) => access.create_subscription(name, new, limit).await?,
            (Lookup::Missing, None) => return Err(resource.missing()),
            (Lookup::Found | Lookup::Hidden, _) => {}
        }
        Ok(ConnectedService {
            client: access.subscriber().await?,
            resource,
            is_emulator: access.endpoint.is_emulator(),
            is_found: lookup != Lookup::Hidden,
            access: Some(access),
        })
    }

    fn stream(&self, service: &ConnectedService, limits: OutstandingLimits) -> MessageStream {
        let OutstandingLimits { messages, bytes } = limits;
        service
            .client
            .subscribe(&self.subscription)
            .set_max_outstanding_messages(i64::try_from(messages).unwrap_or(i64::MAX))
            .set_max_outstanding_bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
            .set_max_lease(self.lease_max.min(LIMIT_MAX))
            .set_max_lease_extension(self.lease_extension(service.is_emulator))
            // The client then waits for handlers, which is how the last acknowledgements are sent. All handlers are in
            // `UnsettledMessages`, so the producer decides when that wait ends.
            .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
            .build()
    }
}

/// A service that has answered.
struct ConnectedService {
    client: Subscriber,
    resource: Resource,
    /// For health checks. `None` with a client that the user provides, which cannot make these requests.
    access: Option<ServiceAccess>,
    is_emulator: bool,
    /// Whether the service confirmed that the subscription exists.
    is_found: bool,
}

/// Delivers the messages of a stream on demand.
///
/// If it is dropped without [`close`](SourceProducer::close), it stops reading and nacks messages that it has not delivered. Those that
/// it has delivered can still be acknowledged.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct PubSubProducer {
    unsettled: Arc<UnsettledMessages>,
    lag: Arc<LagReporter>,
    acknowledger: Arc<PubSubAcknowledger>,
    confirmer: Confirmer,
    reader: JoinHandle<()>,
    /// Timers, health check and lag.
    background: JoinHandle<()>,
    shutdown: ShutdownToken,
    close_timeout: Duration,
}

impl PubSubProducer {
    /// Starts the tasks of a producer on the current runtime.
    fn start(
        source: &PubSub,
        service: ConnectedService,
        runtime: ClientRuntime,
        cx: &OpenContext,
    ) -> Self {
        let limits = source.outstanding_limits(cx);
        let stream = source.stream(&service, limits);
        let resource = service.resource;
        let shutdown = stream.shutdown_token();
        let unsettled = Arc::new(UnsettledMessages::new(limits, source.lease_max));
        let liveness = Arc::new(Mutex::new(Liveness::new(Instant::now())));
        let confirmer = Confirmer::spawn(cx.producer(), cx.emitter().clone());
        let lag = Arc::new(LagReporter::new(cx));
        let health_check = service.access.map(|access| HealthCheck {
            access,
            connect_timeout: source.connect_timeout,
            resource: resource.clone(),
            unsettled: unsettled.clone(),
            liveness: liveness.clone(),
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
        });
        let background = join3(
            timers::run(unsettled.clone(), liveness.clone(), resource.name.clone()),
            OptionFuture::from(health_check.map(HealthCheck::run)),
            lag::report(
                unsettled.clone(),
                lag.clone(),
                resource.name.clone(),
                source.lag_interval,
            ),
        );
        let reading = stream::read(stream, unsettled.clone(), liveness, Arc::new(resource));
        Self {
            acknowledger: Arc::new(PubSubAcknowledger::new(
                unsettled.clone(),
                source.policy,
                (cx.producer(), cx.emitter().clone()),
                LastAcks {
                    runtime,
                    confirmer: confirmer.clone(),
                    shutdown: shutdown.clone(),
                    close_timeout: source.close_timeout,
                },
            )),
            reader: tokio::spawn(reading),
            background: tokio::spawn(background.map(drop)),
            unsettled,
            lag,
            confirmer,
            shutdown,
            close_timeout: source.close_timeout,
        }
    }

    /// Waits a little for the stream to fail or to return a message. Most streams do neither.
    async fn await_rejection(&self, deadline: Deadline) -> Result<(), ConnectorError> {
        let first_sign = async {
            loop {
                if let Some(sign) = self.unsettled.first_sign() {
                    return sign;
                }
                self.unsettled.ready().await;
            }
        };
        let deadline = deadline.min(Deadline::after(REJECTION_WAIT));
        deadline.within(first_sign).await.unwrap_or(Ok(()))
    }

    /// Waits until all acks and nacks have been sent, and confirmed where that is possible.
    async fn flush_acks(&self) -> Result<(), ConnectorError> {
        let failed_before = self.confirmer.failed();
        let all_sent = async {
            // Confirmations first: the client's shutdown nacks what still waits for one.
            self.confirmer.flush().await;
            self.shutdown.shutdown().await;
        };
        let deadline = Deadline::after(self.close_timeout);
        if deadline.within(all_sent).await.is_none() {
            return Err(ConnectorError::transient(format!(
                "acknowledgements were not sent within {:?} (`close_timeout`); their messages will be delivered again",
                self.close_timeout
            )));
        }
        match self.confirmer.failed() - failed_before {
            0 => Ok(()),
            failed => Err(ConnectorError::transient(format!(
                "{failed} acknowledgements were not confirmed; their messages may be delivered again"
            ))),
        }
    }
}

impl SourceProducer for PubSubProducer {
    type Item = PubSubRecord;
    type Acknowledger = PubSubAcknowledger;

    fn acknowledger(&self) -> Arc<PubSubAcknowledger> {
        self.acknowledger.clone()
    }

    fn describe(record: &PubSubRecord) -> MessageInfo {
        MessageInfo::of_record(record).attempt(record.delivery_attempt())
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<PubSubRecord, Token>>,
    ) -> Result<Produced, BoxError> {
        loop {
            // Cancel safe: the `Notify` keeps a wakeup without a waiter, and nothing is awaited after messages were taken.
            if let Some(result) = self.unsettled.take_ready(demand, out) {
                return Ok(result.map(|()| Produced::More)?);
            }
            self.unsettled.ready().await;
        }
    }

    /// Ends the stream, and only then nacks messages that were not delivered: the service would send them to an open stream again at
    /// once.
    async fn stop(&mut self) {
        self.unsettled.stop_reading();
        if !self.reader.is_finished() {
            let deadline = Deadline::after(self.close_timeout);
            if deadline.within(&mut self.reader).await.is_none() {
                self.reader.abort();
            }
        }
        self.unsettled.nack_ready();
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.lag.end();
        // The stream ends before anything is nacked, and everything is nacked before the client shuts down, which waits for the last
        // handler.
        self.stop().await;
        let unsettled = self.unsettled.nack_all();
        if unsettled > 0 {
            tracing::warn!(target: "broadway_pubsub", unsettled, "nacked messages without a result");
        }
        Ok(self.flush_acks().await?)
    }
}

impl Drop for PubSubProducer {
    fn drop(&mut self) {
        self.lag.end();
        // Ends the stream. The acknowledger keeps the client's thread for messages that are still unsettled.
        self.reader.abort();
        self.background.abort();
        self.unsettled.abandon();
    }
}

impl fmt::Debug for PubSubProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubProducer")
            .field("acknowledger", &self.acknowledger)
            .finish_non_exhaustive()
    }
}
