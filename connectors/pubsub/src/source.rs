//! The two halves that the engine holds: [`PubSub`] opens streams, [`PubSubProducer`] delivers what one has brought.
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
    connector::{ClientRuntime, LagReporter},
    telemetry::MessageInfo,
};
use futures_util::future::{FutureExt, OptionFuture, join3};
use google_cloud_pubsub::{
    client::Subscriber,
    subscriber::{ShutdownBehavior, ShutdownToken},
};
use tokio::task::JoinHandle;

use crate::{
    ack::{Farewell, PubSubAcknowledger, Token},
    config::PubSub,
    confirm::Confirmer,
    connect::{Access, Found, LIMIT_MAX, Limit, Target},
    held::{Held, Limits},
    lag, minder,
    probe::Probe,
    pulse::Pulse,
    record::PubSubRecord,
    stream,
};

/// How long opening waits for a refusal of the stream, where it isn't known beforehand that there can be none.
const REFUSAL: Duration = Duration::from_secs(3);

impl Source for PubSub {
    type Producer = PubSubProducer;

    /// All options that cannot work.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Opens a stream, after the service has answered a question for the subscription.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; otherwise a text that names the option: there are no credentials, nothing
    /// answers within `connect_timeout`, there is no such subscription, reading it is not permitted.
    ///
    /// # Cancel safety
    ///
    /// Dropped half-way, the stream is closed and what it brought is given back.
    async fn open(&self, cx: &OpenContext) -> Result<PubSubProducer, BoxError> {
        let mut problems = self.problems();
        problems.extend(self.problems_in(cx));
        ConfigError::check("the Pub/Sub source", problems)?;
        let runtime = ClientRuntime::start(&format!("pubsub-{}", cx.producer()))
            .map_err(|error| format!("cannot start the thread of the Pub/Sub client: {error}"))?;
        let (source, cx, own) = (self.clone(), cx.clone(), runtime.clone());
        let opened = runtime.run(async move { source.open_on(own, &cx).await });
        opened.await?
    }
}

impl PubSub {
    /// Opens a producer, on the runtime that this runs on.
    async fn open_on(
        &self,
        runtime: ClientRuntime,
        cx: &OpenContext,
    ) -> Result<PubSubProducer, BoxError> {
        let limit = Limit::begin(self.connect_timeout);
        let link = self.connect(limit).await?;
        let is_certain = link.is_emulator && link.is_found;
        let producer = PubSubProducer::start(self, link, runtime, cx);
        // An emulator knows no permissions.
        if !is_certain {
            producer.await_refusal(limit.deadline).await?;
        }
        Ok(producer)
    }

    async fn connect(&self, limit: Limit) -> Result<Link, BoxError> {
        let name = &self.subscription;
        if let Some(client) = &self.client {
            let target = Target {
                option: "subscription",
                name: name.clone(),
                endpoint: "the endpoint of `client`".to_owned(),
            };
            return Ok(Link {
                client: client.get(limit).await?,
                target,
                access: None,
                is_emulator: false,
                is_found: false,
            });
        }
        let access = Access::new(self.endpoint.as_deref(), limit).await?;
        let target = access.target("subscription", name);
        let found = access.find_subscription(name, limit).await?;
        match (found, &self.create) {
            (Found::No, Some(create)) => access.create_subscription(name, create, limit).await?,
            (Found::No, None) => return Err(target.missing().into()),
            (Found::Yes | Found::Hidden, _) => {}
        }
        Ok(Link {
            client: access.subscriber().await?,
            target,
            is_emulator: access.endpoint.is_emulator(),
            is_found: found != Found::Hidden,
            access: Some(access),
        })
    }
}

/// A service that has answered.
struct Link {
    client: Subscriber,
    target: Target,
    /// To ask again. `None` with a client of the user's, which cannot ask.
    access: Option<Access>,
    is_emulator: bool,
    /// Whether the subscription was seen to exist.
    is_found: bool,
}

/// Delivers what a stream has brought, only as much as it is asked for.
///
/// Dropped without [`close`](SourceProducer::close), it stops reading and gives back what was never delivered. What was delivered
/// can still be acknowledged.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct PubSubProducer {
    held: Arc<Held>,
    lag: Arc<LagReporter>,
    acknowledger: Arc<PubSubAcknowledger>,
    confirmer: Confirmer,
    reader: JoinHandle<()>,
    minder: JoinHandle<()>,
    shutdown: ShutdownToken,
    close_timeout: Duration,
}

impl PubSubProducer {
    /// Starts the tasks of a producer, on the runtime that this runs on.
    fn start(source: &PubSub, link: Link, runtime: ClientRuntime, cx: &OpenContext) -> Self {
        let limits = source.limits(cx);
        let Limits { messages, bytes } = limits;
        let target = link.target;
        let stream = link
            .client
            .subscribe(&source.subscription)
            .set_max_outstanding_messages(i64::try_from(messages).unwrap_or(i64::MAX))
            .set_max_outstanding_bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
            .set_max_lease(source.max_lease.min(LIMIT_MAX))
            .set_max_lease_extension(source.lease_extension(link.is_emulator))
            // Its waiting for handlers is what brings the last acknowledgements home; all handlers are ours, so it
            // ends when we want it to.
            .set_shutdown_behavior(ShutdownBehavior::WaitForProcessing)
            .build();
        let shutdown = stream.shutdown_token();
        let held = Arc::new(Held::new(limits, source.max_lease));
        let pulse = Arc::new(Mutex::new(Pulse::new(Instant::now())));
        let confirmer = Confirmer::spawn(cx.producer(), cx.emitter().clone());
        let minding = minder::mind(held.clone(), pulse.clone(), target.name.clone());
        let probe = link.access.map(|access| Probe {
            access,
            connect_timeout: source.connect_timeout,
            target: target.clone(),
            held: held.clone(),
            pulse: pulse.clone(),
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
        });
        let probing = OptionFuture::from(probe.map(Probe::run));
        let lag = Arc::new(LagReporter::new(cx));
        let telling = lag::tell(
            held.clone(),
            lag.clone(),
            target.name.clone(),
            source.lag_interval,
        );
        let reading = stream::read(stream, held.clone(), pulse, Arc::new(target));
        Self {
            acknowledger: Arc::new(PubSubAcknowledger::new(
                held.clone(),
                source.policy,
                (cx.producer(), cx.emitter().clone()),
                Farewell {
                    runtime,
                    confirmer: confirmer.clone(),
                    shutdown: shutdown.clone(),
                    close_timeout: source.close_timeout,
                },
            )),
            reader: tokio::spawn(reading),
            minder: tokio::spawn(join3(minding, probing, telling).map(drop)),
            held,
            lag,
            confirmer,
            shutdown,
            close_timeout: source.close_timeout,
        }
    }

    /// Waits a little for the stream to fail or to bring something; most streams do neither.
    async fn await_refusal(&self, deadline: Deadline) -> Result<(), BoxError> {
        let sign = async {
            loop {
                if let Some(sign) = self.held.sign() {
                    return sign;
                }
                self.held.arrived().await;
            }
        };
        let until = deadline.min(Deadline::after(REFUSAL));
        match until.within(sign).await {
            Some(Err(refusal)) => Err(refusal.into()),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Waits until all that was said has arrived.
    async fn confirm(&self) -> Result<(), BoxError> {
        let failed = self.confirmer.failed();
        let all_said = async {
            self.confirmer.flush().await;
            self.shutdown.shutdown().await;
        };
        let deadline = Deadline::after(self.close_timeout);
        if deadline.within(all_said).await.is_none() {
            return Err(format!(
                "acknowledgements did not arrive within {:?} (`close_timeout`): their messages come again",
                self.close_timeout
            )
            .into());
        }
        match self.confirmer.failed() - failed {
            0 => Ok(()),
            failed => Err(format!(
                "{failed} acknowledgements were not confirmed: their messages may come again"
            )
            .into()),
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
            if let Some(result) = self.held.take(demand, out) {
                return result.map(|()| Produced::More);
            }
            self.held.arrived().await;
        }
    }

    /// Ends the stream first, and only then gives back what was never delivered: to an open stream the service would send it
    /// again at once.
    async fn stop(&mut self) {
        self.held.stop_reading();
        if !self.reader.is_finished() {
            let deadline = Deadline::after(self.close_timeout);
            if deadline.within(&mut self.reader).await.is_none() {
                self.reader.abort();
            }
        }
        self.held.give_back_idle();
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.lag.end();
        self.stop().await;
        let unsettled = self.held.let_go();
        if unsettled > 0 {
            tracing::warn!(target: "broadway_pubsub", unsettled, "messages that nobody settled are given back");
        }
        self.confirm().await
    }
}

impl Drop for PubSubProducer {
    fn drop(&mut self) {
        self.lag.end();
        self.reader.abort();
        self.minder.abort();
        self.held.abandon();
    }
}

impl fmt::Debug for PubSubProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PubSubProducer")
            .field("acknowledger", &self.acknowledger)
            .finish_non_exhaustive()
    }
}
