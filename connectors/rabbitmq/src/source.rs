//! The two halves that the engine holds: [`RabbitMq`] opens producers, [`RabbitMqProducer`] delivers what its consumer gets.

use std::{future::poll_fn, num::NonZeroUsize, sync::Arc, time::Duration};

use broadway_core::{
    BoxError, ConfigError, Deadline, OpenContext, Problem, Produced, Source, SourceProducer,
    telemetry::MessageInfo,
};
use futures_util::future::{FutureExt, join};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    ack::RabbitMqAcknowledger,
    config::RabbitMq,
    consume::OpenConsumer,
    delivery_reader::{ConsumerLoss, DeliveryBuffer, DeliveryReader, ReadOutcome},
    error::{Trouble, words},
    lag,
    reconnect::{chance, failures_after, pause},
    record::RabbitMqRecord,
    shared::SharedChannel,
    wire::client_runtime,
};

/// A opened that lasted so long is a success, even if the queue was empty.
const SETTLED_TIME: Duration = Duration::from_secs(30);
/// How long closing waits for the connection, when the channel has been closed.
const BYE_TIME: Duration = Duration::from_secs(1);
/// After so many refusals in a row the producer fails. A broker that is starting may not know its users and vhosts yet.
const REFUSALS_MAX: u32 = 6;

impl Source for RabbitMq {
    type Producer = RabbitMqProducer;

    /// All options that cannot work: a uri that is none, names that AMQP cannot carry, what is out of range.
    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    /// Connects, sets up and begins to read the queue.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work, a [`prefetch`](RabbitMq::prefetch) below the size of a batch among them; otherwise a text that names the option: nobody answers within
    /// `connect_timeout`, the credentials are refused, the queue does not exist or may not be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: what the broker has sent goes back to the queue.
    async fn open(&self, cx: &OpenContext) -> Result<RabbitMqProducer, BoxError> {
        let mut problems = self.problems();
        problems.extend(self.problems_in(cx));
        ConfigError::check("the RabbitMQ source", problems)?;
        let mut source = self.clone();
        let name = || format!("{}-{}", cx.pipeline(), cx.producer());
        source
            .connect_options
            .connection_name
            .get_or_insert_with(name);
        let window = self.window(cx);
        let opened = source.connect(window, None).await;
        let opened = opened.map_err(Trouble::into_error)?;
        let shared = Arc::new(SharedChannel::new(cx, self, window));
        let mut keeper = JoinSet::new();
        let (kept, lag_interval) = (shared.clone(), self.lag_interval);
        let keeping = async move { join(kept.keep(), lag::tell(&kept, lag_interval)).await };
        // With the connection: a handler that blocks its thread does not hold up acknowledgements.
        keeper.spawn_on(keeping.map(drop), &client_runtime().await?);
        Ok(RabbitMqProducer {
            acknowledger: Arc::new(RabbitMqAcknowledger::new(shared.clone())),
            state: ConsumerState::Up(Box::new(DeliveryReader::begin(opened, &shared))),
            shared,
            source: Arc::new(source),
            failures: 0,
            is_told: false,
            _keeper: keeper,
        })
    }
}

/// Delivers what its consumer gets, and opens another when that is lost.
///
/// Dropped without [`close`](SourceProducer::close), it closes its connection: what is not acknowledged comes again.
#[must_use = "a producer that is dropped without `close` leaves its messages to be delivered again"]
pub struct RabbitMqProducer {
    source: Arc<RabbitMq>,
    shared: Arc<SharedChannel>,
    acknowledger: Arc<RabbitMqAcknowledger>,
    state: ConsumerState,
    /// Connections that were lost before they delivered anything, and attempts that failed since.
    failures: u32,
    /// What may come again after the end was told.
    is_told: bool,
    /// Ends with this.
    _keeper: JoinSet<()>,
}

enum ConsumerState {
    Up(Box<DeliveryReader>),
    /// A task connects; it tells what it has failed at, and returns an error that no later attempt would mend.
    Down(JoinSet<Result<Reconnected, BoxError>>),
    /// Nothing more is read, for this reason; the pipeline still has messages of this opened.
    Halted(Box<DeliveryReader>, String),
    /// Nothing more is read. With the opened, if there is one.
    Stopped(Option<Box<DeliveryReader>>),
}

struct Reconnected {
    opened: OpenConsumer,
    /// With those before.
    failures: u32,
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

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut DeliveryBuffer,
    ) -> Result<Produced, BoxError> {
        loop {
            // Cancel safe: what the consumer holds stays there until the poll that hands it over, and connecting is a task.
            match &mut self.state {
                ConsumerState::Up(open) => {
                    let shared = &*self.shared;
                    let taken = tokio::select! {
                        biased;
                        taken = poll_fn(|cx| open.poll_take(cx, shared, demand.get(), out)) => taken,
                        () = shared.given_up.notified() => {
                            if shared.generation() == open.generation {
                                // That was an earlier channel.
                                continue;
                            }
                            Err(ConsumerLoss::new("the channel was given up"))
                        }
                    };
                    match taken {
                        Ok(ReadOutcome::Some) => return Ok(Produced::More),
                        Ok(ReadOutcome::Halted(why)) => self.halt(why),
                        Err(lost) => self.lost(&lost),
                    }
                }
                ConsumerState::Halted(open, why) => {
                    let (within, why) = (self.source.close_timeout, why.clone());
                    end_what_is_open(&self.shared, open, within).await;
                    return Err(why.into());
                }
                ConsumerState::Down(attempt) => {
                    let Some(ended) = attempt.join_next().await else {
                        return Err("the connection to RabbitMQ is lost".into());
                    };
                    let Reconnected { opened, failures } = ended??;
                    self.failures = failures.saturating_add(1);
                    self.state =
                        ConsumerState::Up(Box::new(DeliveryReader::begin(opened, &self.shared)));
                }
                ConsumerState::Stopped(_) => return Ok(Produced::End),
            }
        }
    }

    /// Cancels the consumer; what it had fetched and not delivered goes back to the queue.
    async fn stop(&mut self) {
        if let ConsumerState::Stopped(_) = self.state {
            return;
        }
        self.shared.stop();
        let state = std::mem::replace(&mut self.state, ConsumerState::Stopped(None));
        let mut open = match state {
            ConsumerState::Up(open) => open,
            ConsumerState::Halted(open, _) => {
                self.state = ConsumerState::Stopped(Some(open));
                return;
            }
            ConsumerState::Down(_) | ConsumerState::Stopped(_) => return,
        };
        match timeout(self.source.close_timeout, open.cancel()).await {
            Ok(Ok(tags)) => {
                self.shared.give_back(open.generation, tags.into_iter());
                self.state = ConsumerState::Stopped(Some(open));
            }
            Ok(Err(error)) => self.trouble(&words(&error), open.generation),
            Err(_) => self.trouble("the broker did not answer", open.generation),
        }
    }

    /// Waits until the broker has taken all acknowledgements, for `close_timeout` at most.
    ///
    /// # Errors
    ///
    /// How many messages may come again at most, when the broker did not confirm that it has them.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the same is told as `SourceTrouble`.
    async fn close(mut self) -> Result<(), BoxError> {
        self.shared.lag.end();
        let deadline = Deadline::after(self.source.close_timeout);
        let state = std::mem::replace(&mut self.state, ConsumerState::Stopped(None));
        let result = match state {
            ConsumerState::Up(open)
            | ConsumerState::Halted(open, _)
            | ConsumerState::Stopped(Some(open))
                if self.shared.finish() =>
            {
                self.close_line(*open, deadline).await
            }
            _ => self.unconfirmed("the connection was lost"),
        };
        self.is_told = true;
        result
    }
}

impl RabbitMqProducer {
    async fn close_line(
        &mut self,
        open: DeliveryReader,
        deadline: Deadline,
    ) -> Result<(), BoxError> {
        // The broker takes frames in order: when it has closed the channel it has taken all acknowledgements.
        let closed = deadline.within(open.opened.channel.close(200, "closed".into()));
        let result = match closed.await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => self.unconfirmed(&words(&error)),
            None => self.unconfirmed(&format!(
                "the broker did not answer within {:?} (`close_timeout`)",
                self.source.close_timeout
            )),
        };
        // Nothing depends on it any more.
        let bye = open.opened.connection.close(200, "closed".into());
        drop(timeout(deadline.remaining().min(BYE_TIME), bye).await);
        result
    }

    /// Begins to connect again.
    fn lost(&mut self, lost: &ConsumerLoss) {
        let mut why = lost.why.clone();
        if let Some(limit) = lost.impatient {
            why = format!("{why}; {}", self.shared.impatient(limit));
        }
        if let ConsumerState::Up(open) = &self.state {
            let has_lasted = open.since.elapsed() >= SETTLED_TIME;
            self.failures = failures_after(self.failures, self.shared.has_told(), has_lasted);
            self.shared.lose(open.generation);
        }
        self.shared.trouble(&format!(
            "the consumer of {:?} was lost and is opened again: {why}",
            self.source.queue
        ));
        let mut attempt = JoinSet::new();
        attempt.spawn(reconnect(
            self.source.clone(),
            self.shared.clone(),
            self.failures,
        ));
        self.state = ConsumerState::Down(attempt);
    }

    fn halt(&mut self, why: String) {
        self.state = match std::mem::replace(&mut self.state, ConsumerState::Stopped(None)) {
            ConsumerState::Up(open) => ConsumerState::Halted(open, why),
            state => state,
        };
    }

    fn trouble(&self, why: &str, generation: u64) {
        self.shared.lose(generation);
        self.shared.trouble(&format!(
            "the consumer of {:?} was lost while it was stopped: {why}",
            self.source.queue
        ));
    }

    /// What closing says when the broker did not confirm that it has taken the acknowledgements. Where none was due nothing was missed:
    /// what is unsettled goes back to the queue with the connection.
    fn unconfirmed(&self, why: &str) -> Result<(), BoxError> {
        match self.shared.unconfirmed() {
            0 => Ok(()),
            n => Err(format!(
                "up to {n} acknowledgements to `queue` = {:?} were not confirmed while closing: {why}; these messages come again",
                self.source.queue
            )
            .into()),
        }
    }
}

/// Waits until the pipeline has ended all messages of this opened, or the opened is lost; and then until the broker knows it. Cancel safe.
async fn end_what_is_open(shared: &SharedChannel, open: &mut DeliveryReader, within: Duration) {
    while shared.generation() == open.generation && !shared.is_idle() {
        tokio::select! {
            () = shared.idle.notified() => {}
            () = shared.given_up.notified() => {}
        }
    }
    if shared.generation() == open.generation && shared.finish() {
        // The broker takes frames in order.
        let closing = open.opened.channel.close(200, "halted".into());
        drop(timeout(within, closing).await);
    }
}

/// Connects until that succeeds, or cannot.
async fn reconnect(
    source: Arc<RabbitMq>,
    shared: Arc<SharedChannel>,
    mut failures: u32,
) -> Result<Reconnected, BoxError> {
    let mut refusals = 0;
    loop {
        sleep(pause(failures, chance())).await;
        match source.connect(shared.window, shared.resume()).await {
            Ok(opened) => return Ok(Reconnected { opened, failures }),
            Err(Trouble::Lasting(error)) => return Err(error),
            Err(Trouble::Refused(error)) => {
                refusals += 1;
                if refusals == REFUSALS_MAX {
                    return Err(format!("refused {refusals} times in a row: {error}").into());
                }
                shared.trouble(&error.to_string());
            }
            Err(Trouble::Passing(error)) => {
                refusals = 0;
                shared.trouble(&error.to_string());
            }
        }
        failures = failures.saturating_add(1);
    }
}

/// Stopping or closing that was given up from outside, as by a drain whose time is over, still tells what may come again.
impl Drop for RabbitMqProducer {
    fn drop(&mut self) {
        let is_given_up = self.shared.is_stopped() && !self.is_told;
        let why = "closing was given up before the broker answered";
        if is_given_up && let Err(error) = self.unconfirmed(why) {
            self.shared.trouble(&error.to_string());
        }
        self.shared.lag.end();
        self.shared.lose(self.shared.generation());
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
