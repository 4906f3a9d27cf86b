//! The callbacks of librdkafka. Rebalances are queued here and handled by the member's thread, in one place and in order; log lines go
//! to `tracing`; errors become events and are kept for the error that `open` returns.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use broadway_core::{
    connector::{ConnectorError, ConnectorErrorKind},
    telemetry::{Emitter, Event},
};
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    types::RDKafkaRespErr,
};

use crate::{
    assignment::unassign,
    error::{is_denial, kind_of, permission_help},
    settings::ClientRole,
    sync::lock,
};

/// A change of the assignment that the group asks this member to answer.
pub(crate) enum Rebalance {
    Assign(TopicPartitionList),
    Revoke(TopicPartitionList),
}

/// The callbacks of a consumer. They share [`ClientEvents`] with the member's thread.
pub(crate) struct ConsumerCallbacks {
    events: Arc<ClientEvents>,
    emitter: Emitter,
    producer: usize,
}

/// What the callbacks leave for the thread that polls the client.
#[derive(Default)]
pub(crate) struct ClientEvents {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Incremented by every callback, so that the thread sees whether a poll called one.
    calls: AtomicU64,
    /// The thread no longer handles rebalances: the callback answers them itself, by giving up what the group revokes.
    closing: AtomicBool,
    errors: Mutex<ClientErrors>,
}

/// The errors that the client has reported so far.
#[derive(Default, Clone)]
pub(crate) struct ClientErrors {
    /// The text of the last error.
    pub(crate) last: Option<String>,
    /// The last error that retrying does not cure.
    pub(crate) denial: Option<Denial>,
}

/// An error that lasts until someone changes the configuration or the broker.
#[derive(Debug, Clone)]
pub(crate) struct Denial {
    kind: ConnectorErrorKind,
    pub(crate) text: String,
}

impl Denial {
    /// The error of the same kind with a longer text.
    pub(crate) fn to_error(&self, text: String) -> ConnectorError {
        ConnectorError::new(self.kind, text)
    }
}

impl ClientEvents {
    pub(crate) fn next_rebalance(&self) -> Option<Rebalance> {
        lock(&self.rebalances).pop_front()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    pub(crate) fn errors(&self) -> ClientErrors {
        lock(&self.errors).clone()
    }

    /// Records an error and returns its text.
    pub(crate) fn record_error(&self, error: &KafkaError, reason: &str) -> String {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            // The error with the reason came before, so keep that one.
            lock(&self.errors)
                .last
                .get_or_insert_with(|| reason.to_owned());
            return format!("AllBrokersDown: {reason}");
        }
        let text = match code {
            Some(code) if reason.is_empty() => code.to_string(),
            Some(code) => format!("{code}: {reason}"),
            None => error.to_string(),
        };
        let mut errors = lock(&self.errors);
        errors.last = Some(text.clone());
        if let Some(code) = code.filter(|code| is_denial(*code)) {
            errors.denial = Some(Denial {
                kind: kind_of(code),
                text: text.clone(),
            });
        }
        text
    }

    /// Records a log line if it has the reason why a connection failed: librdkafka does not report every such line as an error.
    pub(crate) fn record_log(&self, facility: &str, text: &str) {
        self.count_call();
        if facility == "FAIL" {
            // The text follows the name of the client's thread.
            let text = text.split_once("]: ").map_or(text, |(_, text)| text);
            lock(&self.errors).last = Some(text.to_owned());
        }
    }

    pub(crate) fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl ConsumerCallbacks {
    pub(crate) fn new(events: Arc<ClientEvents>, emitter: Emitter, producer: usize) -> Self {
        Self {
            events,
            emitter,
            producer,
        }
    }
}

impl ClientContext for ConsumerCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.events.record_log(facility, text);
        log(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        self.events.count_call();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.count_call();
        let mut text = self.events.record_error(&error, reason);
        text.push_str(permission_help(&text, ClientRole::Source));
        self.emitter
            .emit(&Event::source_error(self.producer, &text));
    }
}

impl ConsumerContext for ConsumerCallbacks {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        self.events.count_call();
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(list.clone()),
            _ => Rebalance::Revoke(list.clone()),
        };
        if !self.events.closing.load(Ordering::Acquire) {
            lock(&self.events.rebalances).push_back(rebalance);
            return;
        }
        let answered = match rebalance {
            // The close that is in progress revokes it next, whether it was answered or not.
            Rebalance::Assign(_) => Ok(()),
            Rebalance::Revoke(list) => unassign(consumer, &list),
        };
        if let Err(error) = answered {
            tracing::debug!(target: "broadway_kafka", %error, "could not answer a revocation while closing");
        }
    }

    fn commit_callback(&self, _result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        self.events.count_call();
    }
}

/// Passes a line of the client's log to `tracing`.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    // librdkafka's lines name brokers, topics and states; they contain no values of settings.
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
