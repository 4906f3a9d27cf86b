//! One client: what it is made with, what it calls back, and how a message is handed to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use broadway_core::Outgoing;
use rdkafka::{
    ClientConfig, ClientContext,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{DeliveryResult, Header, Message, OwnedHeaders},
    metadata::Metadata,
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext, PurgeConfig},
};

use super::{
    failure,
    flights::{Flights, Ticket},
};
use crate::{
    client::free_elsewhere,
    events::{Mailbox, log},
};

/// How long a client that is given up may take to say what was not confirmed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The client's side of the publisher: called on whichever thread polls.
pub(crate) struct Context {
    flights: Arc<Flights>,
    mailbox: Arc<Mailbox>,
    confirm_timeout: Duration,
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
        let error = result.as_ref().err().map(|(error, message)| {
            let trouble = self.mailbox.trouble().last;
            failure::explain(
                error,
                message.topic(),
                self.confirm_timeout,
                trouble.as_deref(),
            )
        });
        self.flights.land(Ticket::from_number(number), error);
    }
}

/// A client. Freed on a thread of its own, unless by [`end`](Self::end).
pub(crate) struct Link {
    /// `None` only while it is dropped.
    producer: Option<BaseProducer<Context>>,
    /// Nobody hears it any more, so nothing may be handed to it.
    has_ended: AtomicBool,
}

impl Link {
    /// Doesn't wait for a broker.
    pub(crate) fn new(
        config: &ClientConfig,
        confirm_timeout: Duration,
        flights: &Arc<Flights>,
        mailbox: &Arc<Mailbox>,
    ) -> KafkaResult<Arc<Self>> {
        let context = Context {
            flights: Arc::clone(flights),
            mailbox: Arc::clone(mailbox),
            confirm_timeout,
        };
        let producer = BaseProducer::from_config_and_context(config, context)?;
        Ok(Arc::new(Self {
            producer: Some(producer),
            has_ended: AtomicBool::new(false),
        }))
    }

    /// Hands a message over. Never waits. Fails as purged once the client was given up: a message that slips in at this very
    /// moment fails when the last who holds the client lets it go.
    pub(crate) fn send(
        &self,
        message: &Outgoing,
        topic: &str,
        empty_is_tombstone: bool,
        ticket: Ticket,
    ) -> Result<(), KafkaError> {
        if self.has_ended.load(Ordering::Acquire) {
            return Err(KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue));
        }
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, ticket.number());
        if let Some(payload) = message.payload()
            && !(empty_is_tombstone && payload.is_empty())
        {
            record = record.payload(payload);
        }
        if let Some(key) = message.message_key() {
            record = record.key(key);
        }
        let headers = message.headers();
        if !headers.is_empty() {
            let all = OwnedHeaders::new_with_capacity(headers.len());
            let all = headers.iter().fold(all, |all, header| {
                let (key, value) = (
                    header.name.as_str().unwrap_or_default(),
                    header.value.as_bytes(),
                );
                all.insert(Header { key, value })
            });
            record = record.headers(all);
        }
        self.producer().send(record).map_err(|(error, _)| error)
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
