//! The thread of one group member: it polls the client for events, answers rebalances, commits, and leaves.
//!
//! It never touches messages: the producer takes those from the partitions' queues when it is asked for some, so a slow
//! pipeline can not keep this thread from answering the group, and nothing here waits for a handler. A revocation waits for
//! messages in flight by coming back to it at each turn of the loop.
//!
//! Whatever happens wakes it: events of the client, results of commits, the last settled message of a draining
//! partition, an order. It sleeps 250 ms at most besides.

mod anew;
mod instance;
mod lag;
mod leave;
mod rebalance;
mod restart;

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use broadway_core::{BoxError, Deadline};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::sync::oneshot;

use crate::{
    begin::Known,
    client::Client,
    commit::Commits,
    config::{GroupProtocol, Kafka},
    connect::connect,
    events::Mailbox,
    ffi,
    hint::advice,
    partition::Partition,
    settings::Side,
    shared::{Failure, Order, SLEEP_MAX, Shared},
};
use anew::Identities;
use lag::LagWatch;
use rebalance::Revoking;
use restart::Restarting;

/// After joining, how long an assignment may be missing before it counts as empty. With KIP-848 an empty one is not told,
/// and neither is it with a pattern that no topic matches yet.
const EMPTY_AFTER: Duration = Duration::from_secs(5);

/// How long an assignment or a revocation waits for its commit.
const COMMIT_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Member {
    source: Kafka,
    shared: Arc<Shared>,
    client: Arc<Client>,
    mailbox: Arc<Mailbox>,
    commits: Commits,
    known: Known,
    identities: Identities,
    revoking: Option<Revoking>,
    restarting: Vec<Restarting>,
    opening: Option<Opening>,
    commit_at: Deadline,
    lag: LagWatch,
}

/// Somebody waits in `open`.
struct Opening {
    reply: oneshot::Sender<Result<(), BoxError>>,
    since: Instant,
    joined_at: Option<Instant>,
}

/// The body of the thread.
pub(crate) fn run(
    source: Kafka,
    config: &ClientConfig,
    shared: Arc<Shared>,
    reply: oneshot::Sender<Result<(), BoxError>>,
) {
    shared.runs_on(thread::current());
    let _told = TellPanic(shared.clone());
    let mailbox = Arc::new(Mailbox::default());
    let (client, known) = match connect(&source, config, &shared, &mailbox) {
        Ok(connected) => connected,
        Err(error) => {
            // Nobody to tell if the future of `open` was dropped.
            let _ = reply.send(Err(error));
            return;
        }
    };
    let queues = Commits::new(&client, shared.clone()).zip(Identities::new(&client));
    let Some((commits, identities)) = queues else {
        let _ = reply.send(Err("the Kafka client cannot make a queue".into()));
        return;
    };
    let now = Instant::now();
    let opening = Some(Opening {
        reply,
        since: now,
        joined_at: None,
    });
    let commit_at = Deadline::since(now, source.commit_interval);
    let lag = LagWatch::new(&client, &shared, source.lag_interval);
    Member {
        source,
        shared,
        client,
        mailbox,
        commits,
        known,
        identities,
        revoking: None,
        restarting: Vec::new(),
        opening,
        commit_at,
        lag,
    }
    .live();
}

impl Member {
    fn live(mut self) {
        loop {
            self.serve_client();
            self.commits.serve();
            self.serve_rebalances();
            if self.shared.is_doubtful.swap(false, Ordering::AcqRel) {
                self.identities.look_now();
            }
            self.identities.serve(&self.shared);
            self.serve_restarts();
            if let Some(order) = self.shared.take_order() {
                return self.leave(order);
            }
            if !self.check_opening() {
                return self.leave(Order::Abandon);
            }
            if self.commit_at.is_over() {
                self.commit_at = Deadline::after(self.source.commit_interval);
                self.catch_up();
                self.commits.send();
            }
            self.lag.serve();
            thread::park_timeout(self.sleep());
        }
    }

    fn sleep(&self) -> Duration {
        let revoked_at = self.revoking.iter().map(|revoking| revoking.deadline);
        let restarted_at = self.restarting.iter().map(|restarting| restarting.deadline);
        [
            self.commit_at,
            self.lag.wake_at(),
            self.identities.look_at(),
        ]
        .into_iter()
        .chain(revoked_at)
        .chain(restarted_at)
        .map(Deadline::remaining)
        .fold(SLEEP_MAX, Duration::min)
    }

    /// Lets the client call back until it has nothing more to say.
    fn serve_client(&self) {
        loop {
            let calls = self.mailbox.calls();
            match self.client.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    // Partition queues are cut off before they are assigned, so this cannot be; but if it were, going on
                    // would lose the message.
                    use rdkafka::Message;
                    self.shared.fail(format!(
                        "{}[{}]@{} came by the main queue: a defect of this connector",
                        message.topic(),
                        message.partition(),
                        message.offset()
                    ));
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    self.end_for_good(code);
                }
                // Other errors were told by the callback, and the client deals with them.
                Some(Err(_)) | None => {}
            }
            if self.mailbox.calls() == calls {
                return;
            }
        }
    }

    /// The client takes no further part in the group.
    fn end_for_good(&self, code: RDKafkaErrorCode) {
        let (code, why) =
            ffi::fatal_error(&self.client).unwrap_or_else(|| (code, code.to_string()));
        let (hint, is_final) = instance::advice(code, &self.source, self.shared.producer);
        self.shared.end(Failure {
            text: format!("the Kafka client cannot go on: {why}{hint}"),
            is_final,
        });
    }

    /// Ends the wait in `open` when there is an answer. False: it failed, or nobody waits any more.
    fn check_opening(&mut self) -> bool {
        let Some(opening) = &mut self.opening else {
            return true;
        };
        if opening.reply.is_closed() {
            return false;
        }
        let (source, waited) = (&self.source, opening.since.elapsed());
        let denied = self
            .mailbox
            .trouble()
            .denied
            .or_else(|| self.shared.take_failure().map(|failure| failure.text));
        let error = if let Some(denied) = denied {
            format!(
                "group `{}` (option `group`) cannot be joined: {denied}{}",
                source.group,
                instance::claimed(&self.client, source, self.shared.producer)
                    .unwrap_or_else(|| advice(&denied, &source.settings, Side::Source))
            )
        } else if waited >= source.join_timeout {
            let why = self
                .mailbox
                .trouble()
                .last
                .unwrap_or_else(|| "other members may still be busy".to_owned());
            format!(
                "not let into group `{}` within {:?} (`join_timeout`): {why}",
                source.group, source.join_timeout
            )
        } else {
            if source.protocol == GroupProtocol::Consumer && opening.joined_at.is_none() {
                opening.joined_at = ffi::generation(&self.client).map(|_| Instant::now());
            }
            let joined_at = opening
                .joined_at
                .or(source.has_pattern().then_some(opening.since));
            if joined_at.is_some_and(|at| at.elapsed() >= EMPTY_AFTER) {
                self.opened(Ok(()));
            }
            return true;
        };
        self.opened(Err(error.into()));
        false
    }

    fn opened(&mut self, result: Result<(), BoxError>) {
        self.known.is_open = true;
        if let Some(opening) = self.opening.take() {
            let _ = opening.reply.send(result);
        }
    }

    /// Lets the ledgers know how far the client has read, before a commit.
    fn catch_up(&self) {
        for partition in self.shared.assigned() {
            partition.catch_up();
        }
    }

    fn assignment_is_lost(&self) -> bool {
        use rdkafka::consumer::Consumer;
        self.client.assignment_lost()
    }

    /// Stops reading these partitions; messages beyond the last one that was begun are not ours any more.
    fn drain_partitions(&self, partitions: &[Arc<Partition>]) {
        partitions.iter().for_each(|partition| partition.drain());
        // The engine asks from here on; what it did not ask about, it has begun.
        self.make_stale();
        partitions.iter().for_each(|partition| partition.freeze());
    }

    /// Makes the engine ask which messages are stale.
    fn make_stale(&self) {
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.shared.assignment_changed();
    }
}

/// A panic of the thread is a defect of ours, but the producer must not wait for ever because of it.
struct TellPanic(Arc<Shared>);

impl Drop for TellPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(
                "the thread of this Kafka member panicked: a defect of this connector".to_owned(),
            );
        }
    }
}
