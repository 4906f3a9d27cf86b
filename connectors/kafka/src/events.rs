//! What librdkafka calls back with. Rebalances are queued here and handled by the member's thread, in one place and in
//! order; logs go to `tracing`; errors become events and are remembered for the error that `open` gives.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use broadway_core::telemetry::{Emitter, Event};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use crate::{hint::grant, settings::Side};

/// What the group asks of this member.
pub(crate) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// The callbacks' side of a member; the thread holds the same [`Mailbox`].
pub(crate) struct Context {
    mailbox: Arc<Mailbox>,
    emitter: Emitter,
    producer: usize,
}

/// What the callbacks have left for the member's thread.
#[derive(Default)]
pub(crate) struct Mailbox {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Moves with every callback, so that the thread sees whether a poll did anything.
    calls: AtomicU64,
    /// Rebalances are answered at once, by giving up what is asked for: the thread doesn't listen any more.
    closing: AtomicBool,
    trouble: Mutex<Trouble>,
}

/// What went wrong so far.
#[derive(Default, Clone)]
pub(crate) struct Trouble {
    /// The last error, in words.
    pub(crate) last: Option<String>,
    /// The last error that waiting will not cure.
    pub(crate) denied: Option<String>,
}

impl Mailbox {
    pub(crate) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn trouble(&self) -> Trouble {
        lock(&self.trouble).clone()
    }

    /// Remembers an error and puts it into words.
    pub(crate) fn hear(&self, error: &KafkaError, reason: &str) -> String {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            // It comes after what says why.
            lock(&self.trouble)
                .last
                .get_or_insert_with(|| reason.to_owned());
            return format!("AllBrokersDown: {reason}");
        }
        let text = match code {
            Some(code) if reason.is_empty() => code.to_string(),
            Some(code) => format!("{code}: {reason}"),
            None => error.to_string(),
        };
        self.remember(code, &text);
        text
    }

    /// Remembers a line of the client's log, if it tells why a connection has failed: not every such line becomes an error.
    pub(crate) fn read_log(&self, facility: &str, text: &str) {
        self.called();
        if facility == "FAIL" {
            // Behind the name of the client's thread.
            let text = text.split_once("]: ").map_or(text, |(_, text)| text);
            lock(&self.trouble).last = Some(text.to_owned());
        }
    }

    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn remember(&self, code: Option<RDKafkaErrorCode>, text: &str) {
        let mut trouble = lock(&self.trouble);
        trouble.last = Some(text.to_owned());
        if code.is_some_and(is_denial) {
            trouble.denied = Some(text.to_owned());
        }
    }
}

impl Context {
    pub(crate) fn new(mailbox: Arc<Mailbox>, emitter: Emitter, producer: usize) -> Self {
        Self {
            mailbox,
            emitter,
            producer,
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.mailbox.read_log(facility, text);
        log(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        self.mailbox.called();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.mailbox.called();
        let mut text = self.mailbox.hear(&error, reason);
        text.push_str(grant(&text, Side::Source));
        self.emitter
            .emit(&Event::source_trouble(self.producer, &text));
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.mailbox.called();
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list.clone()),
            _ => Rebalance::Revoke(list.clone()),
        };
        if !self.mailbox.closing.load(Ordering::Acquire) {
            lock(&self.mailbox.rebalances).push_back(rebalance);
            return;
        }
        let answered = match rebalance {
            Rebalance::Assign(_) => Ok(()), // Closing revokes it next; not answering would be answered with that, too.
            Rebalance::Revoke(list) => give_up(consumer, &list),
        };
        if let Err(error) = answered {
            tracing::debug!(target: "broadway_kafka", %error, "a revocation while closing");
        }
    }

    fn commit_callback(&self, _result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.mailbox.called();
    }
}

/// A line of the client's log.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    // The texts of librdkafka name brokers, topics and states; it doesn't log values of settings.
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => {
            tracing::error!(target: "broadway_kafka", facility, "{}", text.escape_debug());
        }
        RDKafkaLogLevel::Warning => {
            tracing::warn!(target: "broadway_kafka", facility, "{}", text.escape_debug());
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "broadway_kafka", facility, "{}", text.escape_debug());
        }
        RDKafkaLogLevel::Debug => {
            tracing::debug!(target: "broadway_kafka", facility, "{}", text.escape_debug());
        }
    }
}

/// Takes what the group gave, at the positions in the list.
pub(crate) fn take_up(
    consumer: &BaseConsumer<Context>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Gives up what the group takes.
pub(crate) fn give_up(
    consumer: &BaseConsumer<Context>,
    list: &TopicPartitionList,
) -> KafkaResult<()> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

/// Lets one partition of the assignment begin at `position`; `others` are the rest of it, with theirs.
pub(crate) fn begin_anew(
    consumer: &BaseConsumer<Context>,
    one: &TopicPartitionList,
    others: &TopicPartitionList,
) -> KafkaResult<()> {
    if let RebalanceProtocol::Cooperative = consumer.rebalance_protocol() {
        consumer.incremental_unassign(one)?;
        return consumer.incremental_assign(one);
    }
    let mut all = others.clone();
    for element in one.elements() {
        all.add_partition_offset(element.topic(), element.partition(), element.offset())?;
    }
    consumer.assign(&all)
}

/// Whether trying again will not help: somebody has to change something.
pub(crate) fn is_denial(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::UnsupportedSASLMechanism
            | RDKafkaErrorCode::IllegalSASLState
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidGroupId
            | RDKafkaErrorCode::InconsistentGroupProtocol
            | RDKafkaErrorCode::InvalidSessionTimeout
            | RDKafkaErrorCode::Fatal
            | RDKafkaErrorCode::FencedInstanceId
    )
}

/// A lock whose holder never panics half-way through a change.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
