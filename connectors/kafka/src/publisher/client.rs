//! One producer of librdkafka: its callbacks, and how messages are handed to it: [`ProducerClient`].

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{BorrowedHeaders, BorrowedMessage, DeliveryResult, Message},
    metadata::Metadata,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig},
};

use super::{
    error,
    in_flight::{InFlightMessages, Ticket},
    topic_limits::RequestLimit,
};
use crate::{
    client::free_elsewhere,
    client_events::{ClientEvents, log},
    ffi::{CreateTopicError, DescribedLimit, MessageParts, create_topic, produce, topic_limits},
    new_topic::NewTopic,
};

/// How long a client that is given up may take to report which messages were not confirmed.
const LAST_REPORTS: Duration = Duration::from_millis(500);

/// Sends messages again that a broker rejected together with others.
pub(super) trait Resend: Send + Sync {
    /// Records that a request to this topic was rejected as a whole, with `code`.
    fn doubt_limit(&self, topic: &str, code: RDKafkaErrorCode);

    /// Sends a message alone: to the same partition, unchanged, with the same ticket. Returns whether a client has accepted it.
    fn send_alone(self: Arc<Self>, message: &BorrowedMessage<'_>, ticket: Ticket) -> bool;
}

/// The callbacks of a producer. They run on the thread that polls it.
struct ProducerCallbacks {
    in_flight: Arc<InFlightMessages>,
    events: Arc<ClientEvents>,
    confirm_timeout: Duration,
    request_limit: RequestLimit,
    /// The publisher's other clients. Weak, because they own this one.
    resend: Weak<dyn Resend>,
}

impl ProducerCallbacks {
    /// Sends a rejected message again if another message of its request may have caused the rejection. Returns whether it did.
    fn sent_again(
        &self,
        error: &KafkaError,
        message: &BorrowedMessage<'_>,
        ticket: Ticket,
    ) -> bool {
        let Some(code) = error.rdkafka_error_code() else {
            return false;
        };
        if self.request_limit == RequestLimit::ONE_MESSAGE || !error::is_of_a_request(code) {
            return false;
        }
        let bytes = message.payload_len() + message.key_len();
        if error::is_of_size(code) && bytes >= self.request_limit.bytes() {
            return false; // It was alone in its request.
        }
        let Some(resend) = self.resend.upgrade() else {
            return false;
        };
        if error::is_of_size(code) {
            resend.doubt_limit(message.topic(), code);
        }
        resend.send_alone(message, ticket)
    }
}

impl ClientContext for ProducerCallbacks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.events.record_log(facility, text);
        log(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        self.events.count_call();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.count_call();
        let text = self.events.record_error(&error, reason);
        tracing::debug!(target: "broadway_kafka", error = text, "the client of a publisher reports an error");
    }
}

impl ProducerContext for ProducerCallbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let ticket = Ticket::from_number(number);
        let Err((error, message)) = result else {
            self.in_flight.finish(ticket, None);
            return;
        };
        if self.sent_again(error, message, ticket) {
            return; // The other client reports the delivery now.
        }
        let last = self.events.errors().last;
        let topic = message.topic();
        let error = error::of_message(error, topic, self.confirm_timeout, last.as_deref());
        self.in_flight.finish(ticket, Some(error));
    }
}

/// A producer of librdkafka. Freed on a thread of its own, unless by [`end`](Self::end).
pub(super) struct ProducerClient {
    /// `None` only while it is dropped.
    producer: Option<BaseProducer<ProducerCallbacks>>,
    request_limit: RequestLimit,
    /// No thread polls it any more, so nothing may be handed to it.
    has_ended: AtomicBool,
}

impl ProducerClient {
    /// Creates a client. Does not wait for a broker.
    pub(super) fn new(
        config: &ClientConfig,
        request_limit: RequestLimit,
        confirm_timeout: Duration,
        (in_flight, events): (&Arc<InFlightMessages>, &Arc<ClientEvents>),
        resend: Weak<dyn Resend>,
    ) -> KafkaResult<Arc<Self>> {
        let callbacks = ProducerCallbacks {
            in_flight: Arc::clone(in_flight),
            events: Arc::clone(events),
            confirm_timeout,
            request_limit,
            resend,
        };
        let producer = BaseProducer::from_config_and_context(config, callbacks)?;
        Ok(Arc::new(Self {
            producer: Some(producer),
            request_limit,
            has_ended: AtomicBool::new(false),
        }))
    }

    pub(super) fn request_limit(&self) -> RequestLimit {
        self.request_limit
    }

    /// Hands a message over. Does not wait. Fails as purged once the client was given up.
    pub(super) fn send(&self, parts: MessageParts<'_>) -> Result<(), RDKafkaErrorCode> {
        // A message that slips in between this check and the purge of `end` fails later: the client purges again when the last reference to
        // it, which this caller holds, is dropped.
        if self.has_ended() {
            return Err(RDKafkaErrorCode::PurgeQueue);
        }
        produce(self.producer().client(), parts)
    }

    /// Hands over a message of another client. Does not wait.
    pub(super) fn send_again(
        &self,
        message: &BorrowedMessage<'_>,
        ticket: Ticket,
        timestamp_ms: Option<i64>,
    ) -> Result<(), KafkaError> {
        if self.has_ended() {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue));
        }
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(message.topic(), ticket.number())
                .partition(message.partition());
        record.payload = message.payload();
        record.key = message.key();
        record.timestamp = timestamp_ms;
        record.headers = message.headers().map(BorrowedHeaders::detach);
        self.producer().send(record).map_err(|(error, _)| error)
    }

    /// Reads `max.message.bytes` of these topics. Blocks for at most `timeout` and 1 s.
    pub(super) fn topic_limits(
        &self,
        topics: &[&str],
        timeout: Duration,
    ) -> Result<Vec<DescribedLimit>, RDKafkaErrorCode> {
        topic_limits(self.producer().client(), topics, timeout)
    }

    /// Creates a topic. Blocks for at most `timeout` and 1 s.
    pub(super) fn create_topic(
        &self,
        name: &str,
        topic: &NewTopic,
        timeout: Duration,
    ) -> Result<(), CreateTopicError> {
        create_topic(self.producer().client(), name, topic, timeout)
    }

    /// Runs callbacks, for as long as `timeout`.
    pub(super) fn poll(&self, timeout: Duration) {
        self.producer().poll(timeout);
    }

    pub(super) fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata> {
        self.producer().client().fetch_metadata(topic, timeout)
    }

    /// The reason, if the client will never send anything again.
    pub(super) fn fatal_error(&self) -> Option<String> {
        let (_, why) = self.producer().client().fatal_error()?;
        Some(why)
    }

    /// Whether it was given up.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Gives up the client: all its messages fail now. Blocks for at most 500 ms, and longer, until the client's threads have ended, if
    /// this is the last reference.
    pub(super) fn end(self: Arc<Self>) {
        self.has_ended.store(true, Ordering::Release);
        let producer = self.producer();
        producer.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = producer.flush(LAST_REPORTS) {
            tracing::warn!(target: "broadway_kafka", %error, "a client was given up with messages in it");
        }
        if let Some(mut client) = Arc::into_inner(self) {
            drop(client.producer.take());
        }
    }

    fn producer(&self) -> &BaseProducer<ProducerCallbacks> {
        self.producer
            .as_ref()
            .expect("a client until it is dropped")
    }
}

impl Drop for ProducerClient {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            free_elsewhere(producer);
        }
    }
}
