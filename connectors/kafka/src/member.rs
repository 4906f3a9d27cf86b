//! The thread of one group member: it polls the client for events, answers rebalances, commits, and leaves the group.
//!
//! It never touches messages: the producer takes those from the partitions' queues when it has demand. So a slow pipeline cannot keep this
//! thread from answering the group, and nothing here waits for a handler. A revocation that waits for messages in flight is checked again at
//! each turn of the loop.
//!
//! The thread is woken by events of the client, results of commits, the last settled message of a draining partition, and commands. Besides,
//! it wakes every 250 ms.

mod rebalance;
mod restart;
mod shutdown;
mod static_member;
mod topic_ids;

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use broadway_core::{Deadline, connector::ConnectorError};
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::sync::oneshot;

use crate::{
    client::MemberClient,
    client_events::ClientEvents,
    commit::Committer,
    config::Kafka,
    connect::connect,
    error::{help, kind_of},
    ffi::{self, ReadAhead},
    lag::LagWatch,
    options::GroupProtocol,
    partition::Partition,
    prefetch,
    settings::ClientRole,
    shared::{MemberCommand, MemberFailure, SLEEP_MAX, SharedMember},
    start_offsets::KnownTopics,
};
use rebalance::PendingRevocation;
use restart::PendingRestart;
use topic_ids::TopicIdWatch;

/// How long after joining a missing assignment counts as empty. KIP-848 does not report an empty assignment, and neither does any protocol
/// for a pattern that matches no topic yet.
const EMPTY_AFTER: Duration = Duration::from_secs(5);

/// How long an assignment or a revocation waits for its commit.
const COMMIT_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct Member {
    source: Kafka,
    shared: Arc<SharedMember>,
    client: Arc<MemberClient>,
    events: Arc<ClientEvents>,
    committer: Committer,
    known: KnownTopics,
    topic_ids: TopicIdWatch,
    read_ahead: ReadAhead,
    revocation: Option<PendingRevocation>,
    restarts: Vec<PendingRestart>,
    opening: Option<PendingOpen>,
    commit_at: Deadline,
    lag: LagWatch,
}

/// A call of `open` that waits for the first assignment.
struct PendingOpen {
    reply: oneshot::Sender<Result<(), ConnectorError>>,
    since: Instant,
    joined_at: Option<Instant>,
}

/// The body of the thread.
pub(crate) fn run(
    source: Kafka,
    config: &ClientConfig,
    shared: Arc<SharedMember>,
    reply: oneshot::Sender<Result<(), ConnectorError>>,
) {
    shared.runs_on(thread::current());
    let _guard = PanicGuard(shared.clone());
    let events = Arc::new(ClientEvents::default());
    let (client, known) = match connect(&source, config, &shared, &events) {
        Ok(connected) => connected,
        Err(error) => {
            // The receiver is gone if the future of `open` was dropped.
            let _ = reply.send(Err(error));
            return;
        }
    };
    let queues = Committer::new(&client, shared.clone()).zip(TopicIdWatch::new(&client));
    let Some((committer, topic_ids)) = queues else {
        let error = ConnectorError::transient("the Kafka client cannot create a queue");
        let _ = reply.send(Err(error));
        return;
    };
    let now = Instant::now();
    let opening = Some(PendingOpen {
        reply,
        since: now,
        joined_at: None,
    });
    let commit_at = Deadline::since(now, source.commit_interval);
    let lag = LagWatch::new(&client, &shared, source.lag_interval);
    let bytes = source.prefetch_bytes_max;
    let read_ahead = prefetch::read_ahead(&source.settings, bytes, known.partitions);
    Member {
        source,
        shared,
        client,
        events,
        committer,
        known,
        topic_ids,
        read_ahead,
        revocation: None,
        restarts: Vec::new(),
        opening,
        commit_at,
        lag,
    }
    .run()
}

impl Member {
    fn run(mut self) {
        loop {
            // Callbacks first, because they queue the rebalances. Then results of commits, because a rebalance commits, too.
            self.poll_client();
            self.committer.serve();
            self.serve_rebalances();
            if self
                .shared
                .should_check_topics
                .swap(false, Ordering::AcqRel)
            {
                self.topic_ids.request_now();
            }
            self.topic_ids.serve(&self.shared);
            self.serve_restarts();
            if let Some(command) = self.shared.take_command() {
                return self.shut_down(command);
            }
            if !self.check_opening() {
                return self.shut_down(MemberCommand::Abandon);
            }
            if self.commit_at.is_over() {
                self.commit_at = Deadline::after(self.source.commit_interval);
                self.catch_up();
                self.committer.send();
            }
            self.lag.serve();
            // A wakeup that came since the top of the loop is kept by the thread's token, so parking returns at once.
            thread::park_timeout(self.sleep());
        }
    }

    fn sleep(&self) -> Duration {
        let revoked_at = self.revocation.iter().map(|pending| pending.deadline);
        let restarted_at = self.restarts.iter().map(|pending| pending.deadline);
        [self.commit_at, self.lag.wake_at(), self.topic_ids.wake_at()]
            .into_iter()
            .chain(revoked_at)
            .chain(restarted_at)
            .map(Deadline::remaining)
            .fold(SLEEP_MAX, Duration::min)
    }

    /// Runs callbacks until none is due.
    fn poll_client(&self) {
        loop {
            let calls = self.events.calls();
            match self.client.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    // Cannot happen, because partition queues are separated from the main queue before they are assigned. If it did,
                    // continuing would lose the message.
                    use rdkafka::Message;
                    self.shared.fail(ConnectorError::permanent(format!(
                        "{}[{}]@{} came through the main queue: a bug in this connector",
                        message.topic(),
                        message.partition(),
                        message.offset()
                    )));
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                    self.end_after_fatal_error(code);
                }
                // The callback has reported other errors, and the client recovers from them.
                Some(Err(_)) | None => {}
            }
            if self.events.calls() == calls {
                return;
            }
        }
    }

    /// The client takes no further part in the group.
    fn end_after_fatal_error(&self, code: RDKafkaErrorCode) {
        let (code, why) =
            ffi::fatal_error(&self.client).unwrap_or_else(|| (code, code.to_string()));
        let (help, is_final) = static_member::claim_help(code, &self.source, self.shared.producer);
        let text = format!("the Kafka client has failed permanently: {why}{help}");
        self.shared.end(MemberFailure {
            error: ConnectorError::new(kind_of(code), text),
            is_final,
        });
    }

    /// Answers `open` when the outcome is known. Returns false if opening has failed, or its future was dropped.
    fn check_opening(&mut self) -> bool {
        let Some(opening) = &self.opening else {
            return true;
        };
        if opening.reply.is_closed() {
            return false;
        }
        if let Some(error) = self.opening_error(opening) {
            self.answer_open(Err(error));
            return false;
        }
        if self.has_empty_assignment() {
            self.answer_open(Ok(()));
        }
        true
    }

    /// Why opening has failed, if it has.
    fn opening_error(&self, opening: &PendingOpen) -> Option<ConnectorError> {
        let errors = self.events.errors();
        if let Some(denial) = errors.denial {
            return Some(denial.to_error(self.cannot_join(&denial.text)));
        }
        if let Some(failure) = self.shared.take_failure() {
            let text = self.cannot_join(&failure.error.to_string());
            return Some(ConnectorError::new(failure.error.kind(), text));
        }
        let source = &self.source;
        if opening.since.elapsed() < source.join_timeout {
            return None;
        }
        let why = errors
            .last
            .unwrap_or_else(|| "other members may still be busy".to_owned());
        Some(ConnectorError::transient(format!(
            "group `{}` did not admit this member within {:?} (`join_timeout`): {why}",
            source.group, source.join_timeout
        )))
    }

    /// Whether the member has joined and counts as having no partitions, because no assignment came.
    fn has_empty_assignment(&mut self) -> bool {
        let Some(opening) = &mut self.opening else {
            return false;
        };
        if self.source.protocol == GroupProtocol::Consumer && opening.joined_at.is_none() {
            opening.joined_at = ffi::generation(&self.client).map(|_| Instant::now());
        }
        let joined_at = opening
            .joined_at
            .or(self.source.has_pattern().then_some(opening.since));
        joined_at.is_some_and(|at| at.elapsed() >= EMPTY_AFTER)
    }

    fn cannot_join(&self, why: &str) -> String {
        let help = static_member::claim_help_of(&self.client, &self.source, self.shared.producer)
            .unwrap_or_else(|| help(why, &self.source.settings, ClientRole::Source));
        format!(
            "cannot join group `{}` (option `group`): {why}{help}",
            self.source.group
        )
    }

    fn answer_open(&mut self, result: Result<(), ConnectorError>) {
        self.known.is_open = true;
        if let Some(opening) = self.opening.take() {
            let _ = opening.reply.send(result);
        }
    }

    /// Records how far the client has read, before a commit.
    fn catch_up(&self) {
        for partition in self.shared.assigned() {
            partition.catch_up();
        }
    }

    fn assignment_is_lost(&self) -> bool {
        use rdkafka::consumer::Consumer;
        self.client.assignment_lost()
    }

    /// Stops reading these partitions. Messages after the last one that was begun become stale.
    ///
    /// The three steps have this order so that each message is either begun, and then handled to its end, or asked about and released:
    /// the generation makes the engine ask before it begins further messages, and the mark freezes only after that. A message
    /// that the engine begins without asking raised the mark before it froze.
    fn drain_partitions(&self, partitions: &[Arc<Partition>]) {
        partitions.iter().for_each(|partition| partition.drain());
        self.advance_generation();
        partitions.iter().for_each(|partition| partition.freeze());
    }

    /// Makes the engine ask which messages are stale.
    fn advance_generation(&self) {
        self.shared.generation.fetch_add(1, Ordering::Release);
        self.shared.assignment_changed();
    }
}

/// Reports a panic of the thread, for which the producer would otherwise wait forever.
struct PanicGuard(Arc<SharedMember>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(ConnectorError::permanent(
                "the thread of this Kafka member panicked: a bug in this connector",
            ));
        }
    }
}
