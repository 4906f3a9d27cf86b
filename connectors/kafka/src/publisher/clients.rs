//! The clients of a publisher: [`ProducerClients`]. One serves nearly all messages. Clients with smaller requests serve topics with lower
//! limits and are created when they are needed. Messages that were rejected together with others go through a client that sends each
//! message in a request of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use broadway_core::{Outgoing, connector::ConnectorError};
use rdkafka::{ClientConfig, error::RDKafkaErrorCode, message::BorrowedMessage};
use tokio::sync::oneshot;

use super::{
    builder::KafkaPublisherBuilder,
    client::{ProducerClient, Resend},
    in_flight::{InFlightMessages, Ticket},
    topic_limits::{RequestLimit, TopicLimits},
};
use crate::{
    client_events::ClientEvents, error::rejected_settings, ffi::DescribedLimit, sync::lock,
};

/// How long a client is polled before its thread checks whether it should end. Delivery reports come at once.
pub(super) const POLL: Duration = Duration::from_millis(50);
/// How soon a client that replaced a broken one may be replaced itself.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait for the limits of topics. Without an answer, a topic is taken to have none.
pub(super) const LIMITS_TIMEOUT: Duration = Duration::from_secs(2);
/// The default of `batch.size`: how many bytes librdkafka packs into a request.
const BATCH_SIZE: usize = 1_000_000;

/// All clients of a publisher, by the size of their requests.
pub(super) struct ProducerClients {
    options: KafkaPublisherBuilder,
    config: ClientConfig,
    in_flight: Arc<InFlightMessages>,
    events: Arc<ClientEvents>,
    limits: Mutex<TopicLimits>,
    /// Held while limits are requested, so that each topic is requested once.
    requesting: tokio::sync::Mutex<()>,
    open: Mutex<OpenClients>,
}

#[derive(Default)]
struct OpenClients {
    clients: BTreeMap<RequestLimit, Arc<ProducerClient>>,
    has_ended: bool,
}

impl ProducerClients {
    pub(super) fn new(
        options: KafkaPublisherBuilder,
        in_flight: Arc<InFlightMessages>,
        events: Arc<ClientEvents>,
    ) -> Arc<Self> {
        let batch_size = options.settings.get("batch.size");
        let largest = batch_size.and_then(|size| size.parse().ok());
        let largest = RequestLimit::of_bytes(largest.unwrap_or(BATCH_SIZE));
        Arc::new(Self {
            config: options.client_config(),
            in_flight,
            events,
            limits: Mutex::new(TopicLimits::new(largest)),
            requesting: tokio::sync::Mutex::default(),
            open: Mutex::default(),
            options,
        })
    }

    fn largest(&self) -> RequestLimit {
        lock(&self.limits).largest()
    }

    /// Creates a client that is not among the others yet. Does not wait for a broker.
    pub(super) fn create(
        self: &Arc<Self>,
        request_limit: RequestLimit,
    ) -> Result<Arc<ProducerClient>, ConnectorError> {
        let mut config = self.config.clone();
        if request_limit == RequestLimit::ONE_MESSAGE {
            config.set("batch.num.messages", "1");
            config.set("linger.ms", "0");
            // Its messages came from another client and are limited by `in_flight_max` already. This queue must not reject them.
            config.set("queue.buffering.max.messages", "0");
            config.set("queue.buffering.max.kbytes", i32::MAX.to_string());
        } else if request_limit.bytes() != BATCH_SIZE {
            config.set("batch.size", request_limit.bytes().to_string());
        }
        let resend = Arc::downgrade(self) as Weak<dyn Resend>;
        ProducerClient::new(
            &config,
            request_limit,
            self.options.confirm_timeout,
            (&self.in_flight, &self.events),
            resend,
        )
        .map_err(|error| rejected_settings(&error, &self.options.settings))
    }

    /// Adds the first client, which the publisher's own thread polls. No request becomes larger than its limit.
    pub(super) fn add_first(&self, client: &Arc<ProducerClient>) {
        lock(&self.limits).lower(client.request_limit());
        lock(&self.open)
            .clients
            .insert(client.request_limit(), Arc::clone(client));
    }

    /// The client with this limit, created if there is none. Returns `None` once all have ended.
    fn with_limit(self: &Arc<Self>, request_limit: RequestLimit) -> Option<Arc<ProducerClient>> {
        // Held while a client is created, so that no second one is, and none appears after `end`.
        let mut open = lock(&self.open);
        if open.has_ended {
            return None;
        }
        if let Some(client) = open.clients.get(&request_limit) {
            return Some(Arc::clone(client));
        }
        let created = self.create(request_limit).and_then(|client| {
            let (clients, polled) = (Arc::clone(self), Arc::clone(&client));
            thread::Builder::new()
                .name("kafka-publisher".to_owned())
                .spawn(move || clients.poll_until_ended(polled))
                .map_err(|error| {
                    ConnectorError::transient(format!("cannot start a thread for it: {error}"))
                })?;
            Ok(client)
        });
        match created {
            Ok(client) => {
                open.clients.insert(request_limit, Arc::clone(&client));
                Some(client)
            }
            Err(error) => {
                let topic = &self.options.topic;
                tracing::error!(target: "broadway_kafka", topic, %error, "a publisher cannot create a client for smaller requests");
                open.clients
                    .last_key_value()
                    .map(|(_, client)| Arc::clone(client))
            }
        }
    }

    /// The client for messages to this topic. Returns `None` once all have ended.
    pub(super) fn for_topic(self: &Arc<Self>, topic: &str) -> Option<Arc<ProducerClient>> {
        let request_limit = {
            let limits = lock(&self.limits);
            limits.request_limit(topic).unwrap_or(limits.largest())
        };
        self.with_limit(request_limit)
    }

    pub(super) fn have_ended(&self) -> bool {
        lock(&self.open).has_ended
    }

    /// Removes all clients and returns them. No client is created afterwards.
    pub(super) fn end(&self) -> Vec<Arc<ProducerClient>> {
        let mut open = lock(&self.open);
        open.has_ended = true;
        std::mem::take(&mut open.clients).into_values().collect()
    }

    /// The thread of a further client.
    fn poll_until_ended(self: Arc<Self>, mut client: Arc<ProducerClient>) {
        let mut replace_after = Instant::now();
        while !client.has_ended() {
            client.poll(POLL);
            client = self.replace_if_broken(client, &mut replace_after);
        }
    }

    /// Replaces a client that will never send again. Its messages fail. Returns the client to poll from now on.
    pub(super) fn replace_if_broken(
        self: &Arc<Self>,
        client: Arc<ProducerClient>,
        replace_after: &mut Instant,
    ) -> Arc<ProducerClient> {
        let Some(why) = client.fatal_error() else {
            return client;
        };
        let now = Instant::now();
        if now < *replace_after {
            return client;
        }
        *replace_after = now + REPLACE_PAUSE;
        let topic = &self.options.topic;
        let new = match self.create(client.request_limit()) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(target: "broadway_kafka", topic, why, %error, "a publisher's client has broken and cannot be replaced");
                return client;
            }
        };
        {
            let mut open = lock(&self.open);
            if open.has_ended {
                return client;
            }
            open.clients
                .insert(client.request_limit(), Arc::clone(&new));
        }
        tracing::warn!(target: "broadway_kafka", topic, why, "a publisher's client has broken and is replaced");
        // The new client is in place first, so that callers whose messages fail now and are sent again find it.
        client.end();
        new
    }

    /// Requests the limits of destinations whose limits are not known yet. Waits up to 2 s for the answer.
    pub(super) async fn load_limits(self: &Arc<Self>, messages: &[Outgoing]) {
        if self.unknown_topics(messages).is_empty() {
            return;
        }
        let _requesting = self.requesting.lock().await;
        let unknown = self.unknown_topics(messages); // Another call may have loaded them while this one waited.
        if unknown.is_empty() {
            return;
        }
        let (answered, answer) = oneshot::channel();
        let clients = Arc::clone(self);
        let started = thread::Builder::new()
            .name("kafka-publisher-limits".to_owned())
            .spawn(move || {
                clients.request_limits(&unknown);
                let _ = answered.send(()); // The caller may be gone.
            });
        match started {
            Ok(_) => drop(answer.await),
            Err(error) => {
                tracing::warn!(target: "broadway_kafka", %error, "cannot start a thread to request the limits of topics");
            }
        }
    }

    /// The destinations of `messages` whose limits are not known, each once.
    fn unknown_topics(&self, messages: &[Outgoing]) -> BTreeSet<String> {
        let mut unknown = BTreeSet::new();
        let limits = lock(&self.limits);
        let mut last = None;
        for message in messages {
            let to = message.destination();
            if last == Some(to) {
                continue;
            }
            last = Some(to);
            let topic = to.unwrap_or(&self.options.topic);
            if limits.request_limit(topic).is_none() && !unknown.contains(topic) {
                unknown.insert(topic.to_owned());
            }
        }
        unknown
    }

    fn request_limits(self: &Arc<Self>, topics: &BTreeSet<String>) {
        let Some(client) = self.with_limit(self.largest()) else {
            return;
        };
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let answer = client.topic_limits(&names, LIMITS_TIMEOUT);
        self.record_limits(&names, answer);
        // Creating a client reads files and starts threads, so it happens here rather than in a caller's task.
        for topic in names {
            self.for_topic(topic);
        }
    }

    /// Records the limits in an answer. A topic that is not in the answer has no known limit.
    pub(super) fn record_limits(
        &self,
        topics: &[&str],
        answer: Result<Vec<DescribedLimit>, RDKafkaErrorCode>,
    ) {
        let now = Instant::now();
        let answers: BTreeMap<_, _> = match answer {
            Ok(answers) => answers.into_iter().collect(),
            Err(code) => {
                tracing::debug!(target: "broadway_kafka", ?topics, %code, "the broker does not return the limits of topics");
                BTreeMap::new()
            }
        };
        let mut limits = lock(&self.limits);
        for topic in topics {
            let limit = match answers.get(*topic) {
                // Nothing is recorded, so the limit is requested again once the topic exists.
                Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => continue,
                Some(Err(code)) => {
                    tracing::debug!(target: "broadway_kafka", topic, %code, "the broker does not return the limit of a topic");
                    None
                }
                Some(Ok(limit)) => Some(*limit),
                None => None,
            };
            limits.record((*topic).to_owned(), limit, now);
        }
    }

    /// The request limit of the first client, given the limit of the publisher's topic.
    pub(super) fn first_limit(&self) -> RequestLimit {
        lock(&self.limits).lowered_to(&self.options.topic)
    }
}

impl Resend for ProducerClients {
    fn doubt_limit(&self, topic: &str, code: RDKafkaErrorCode) {
        if lock(&self.limits).doubt(topic, Instant::now()) {
            tracing::warn!(
                target: "broadway_kafka", topic, %code,
                "a topic rejected a whole request: its messages are sent again one by one, and its `max.message.bytes` is requested \
                 again; if this repeats, grant this client DESCRIBE_CONFIGS on the topic or set a lower `batch.size`"
            );
        }
    }

    fn send_alone(self: Arc<Self>, message: &BorrowedMessage<'_>, ticket: Ticket) -> bool {
        let Some(client) = self.with_limit(RequestLimit::ONE_MESSAGE) else {
            return false;
        };
        let time = self.in_flight.timestamp_ms(ticket);
        // Without a client for single messages another one is returned, which could put the message into a batch again.
        client.request_limit() == RequestLimit::ONE_MESSAGE
            && client.send_again(message, ticket, time).is_ok()
    }
}
