//! One client: what it is made with, what it calls back, and how a message is handed to it.

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
    failure,
    flights::{Flights, Ticket},
    limits::Width,
    links::Links,
};
use crate::{
    client::free_elsewhere,
    events::{Mailbox, log},
    ffi::{CreateError, Parts, TopicLimit, create_topic, produce, topic_limits},
    topic::NewTopic,
};

/// How long a client that is given up may take to say what was not confirmed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The client's side of the publisher: called on whichever thread polls.
pub(crate) struct Context {
    flights: Arc<Flights>,
    mailbox: Arc<Mailbox>,
    confirm_timeout: Duration,
    width: Width,
    /// The other clients.
    links: Weak<Links>,
}

impl Context {
    /// Whether this message, which a broker refused, is sent again: it may have been refused because of another one in its
    /// request.
    fn goes_again(
        &self,
        error: &KafkaError,
        message: &BorrowedMessage<'_>,
        ticket: Ticket,
    ) -> bool {
        let Some(code) = error.rdkafka_error_code() else {
            return false;
        };
        if self.width == Width::ONE || !failure::is_of_a_request(code) {
            return false;
        }
        let bytes = message.payload_len() + message.key_len();
        if failure::is_of_size(code) && bytes >= self.width.bytes() {
            return false; // It was alone in its request.
        }
        let Some(links) = self.links.upgrade() else {
            return false;
        };
        if failure::is_of_size(code) {
            links.doubt(message.topic(), code);
        }
        links.send_alone(message, ticket)
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
        let text = self.mailbox.hear(&error, reason);
        tracing::debug!(target: "broadway_kafka", error = text, "a publisher's client is in trouble");
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let ticket = Ticket::from_number(number);
        let Err((error, message)) = result else {
            self.flights.land(ticket, None);
            return;
        };
        if self.goes_again(error, message, ticket) {
            return; // The other client owes the report now.
        }
        let trouble = self.mailbox.trouble().last;
        let topic = message.topic();
        let error = failure::explain(error, topic, self.confirm_timeout, trouble.as_deref());
        self.flights.land(ticket, Some(error));
    }
}

/// A client. Freed on a thread of its own, unless by [`end`](Self::end).
pub(crate) struct Link {
    /// `None` only while it is dropped.
    producer: Option<BaseProducer<Context>>,
    width: Width,
    /// Nobody hears it any more, so nothing may be handed to it.
    has_ended: AtomicBool,
}

impl Link {
    /// Doesn't wait for a broker.
    pub(crate) fn new(
        config: &ClientConfig,
        width: Width,
        confirm_timeout: Duration,
        (flights, mailbox): (&Arc<Flights>, &Arc<Mailbox>),
        links: Weak<Links>,
    ) -> KafkaResult<Arc<Self>> {
        let context = Context {
            flights: Arc::clone(flights),
            mailbox: Arc::clone(mailbox),
            confirm_timeout,
            width,
            links,
        };
        let producer = BaseProducer::from_config_and_context(config, context)?;
        Ok(Arc::new(Self {
            producer: Some(producer),
            width,
            has_ended: AtomicBool::new(false),
        }))
    }

    pub(crate) fn width(&self) -> Width {
        self.width
    }

    /// Hands a message over. Never waits. Fails as purged once the client was given up: a message that slips in at this very
    /// moment fails when the last who holds the client lets it go.
    pub(crate) fn send(&self, parts: Parts<'_>) -> Result<(), RDKafkaErrorCode> {
        if self.has_ended() {
            return Err(RDKafkaErrorCode::PurgeQueue);
        }
        produce(self.producer().client(), parts)
    }

    /// Hands over what another client has had. Never waits.
    pub(crate) fn send_again(
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

    /// What these topics take in one request, as the broker says. Blocks for `timeout` and a moment.
    pub(crate) fn topic_limits(
        &self,
        topics: &[&str],
        timeout: Duration,
    ) -> Result<Vec<TopicLimit>, RDKafkaErrorCode> {
        topic_limits(self.producer().client(), topics, timeout)
    }

    /// Creates a topic. Blocks for `timeout` and a moment.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        topic: &NewTopic,
        timeout: Duration,
    ) -> Result<(), CreateError> {
        create_topic(self.producer().client(), name, topic, timeout)
    }

    /// Hears the client for as long as that.
    pub(crate) fn poll(&self, timeout: Duration) {
        self.producer().poll(timeout);
    }

    pub(crate) fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata> {
        self.producer().client().fetch_metadata(topic, timeout)
    }

    /// Why it will never send anything again, if so.
    pub(crate) fn fatal_error(&self) -> Option<String> {
        let (_, why) = self.producer().client().fatal_error()?;
        Some(why)
    }

    /// Whether it was given up.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Gives up what it has: all of it fails, now. Blocks, for half a second at most; and longer for the client's own
    /// threads to end, if nobody else holds this.
    pub(crate) fn end(self: Arc<Self>) {
        self.has_ended.store(true, Ordering::Release);
        let producer = self.producer();
        producer.purge(PurgeConfig::default().queue().inflight());
        if let Err(error) = producer.flush(LAST_WORDS) {
            tracing::warn!(target: "broadway_kafka", %error, "a client was given up with messages in it");
        }
        if let Some(mut link) = Arc::into_inner(self) {
            drop(link.producer.take());
        }
    }

    fn producer(&self) -> &BaseProducer<Context> {
        self.producer
            .as_ref()
            .expect("a client until it is dropped")
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            free_elsewhere(producer);
        }
    }
}
