//! The first steps of a client: create it, wait for a broker and the topics, subscribe. [`ClusterProbe`] is shared with the publisher.

use std::{sync::Arc, thread, time::Duration};

use broadway_core::{Deadline, connector::ConnectorError};
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaResult, RDKafkaErrorCode},
    metadata::Metadata,
};

use crate::{
    client::MemberClient,
    client_events::{ClientEvents, ConsumerCallbacks},
    config::Kafka,
    error::{create_topic_help, help, is_denial, kind_of, kind_of_error, rejected_settings},
    ffi::{CreateTopicError, create_topic},
    new_topic::NewTopic,
    prefetch,
    settings::{ClientRole, ClientSettings},
    shared::SharedMember,
    start_offsets::KnownTopics,
};

/// How long one request for metadata waits, so that errors reported meanwhile are noticed.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
/// How many times a broker may answer that it does not know a topic, about 3 s in all: the topic may have been created a moment ago.
const UNKNOWN_MAX: u32 = 12;
const UNKNOWN_PAUSE: Duration = Duration::from_millis(250);

/// Connects, checks the topics and subscribes. Blocks, so it runs on the member's thread.
pub(crate) fn connect(
    source: &Kafka,
    config: &ClientConfig,
    shared: &SharedMember,
    events: &Arc<ClientEvents>,
) -> Result<(Arc<MemberClient>, KnownTopics), ConnectorError> {
    let connected = subscribe(source, config.clone(), shared, events);
    if connected.is_err() {
        events.close();
    }
    connected
}

fn subscribe(
    source: &Kafka,
    mut config: ClientConfig,
    shared: &SharedMember,
    events: &Arc<ClientEvents>,
) -> Result<(Arc<MemberClient>, KnownTopics), ConnectorError> {
    let mut client = create_client(source, &config, shared, events)?;
    wait_for_topics(&client, source, events)?;
    let known = KnownTopics::of_cluster(&client, source)?;
    let limits = prefetch::limit(
        &mut config,
        &source.settings,
        source.prefetch_bytes_max,
        known.partitions,
    );
    if let Some(limits) = limits {
        tracing::debug!(target: "broadway_kafka", ?limits, partitions = known.partitions, "prefetching is limited");
        // The limits depend on the number of partitions, which only a connected client knows, and are fixed when a client is created.
        // So the first client is replaced.
        client.free();
        client = create_client(source, &config, shared, events)?;
    }
    let topics: Vec<&str> = source.topics.iter().map(String::as_str).collect();
    client.subscribe(&topics).map_err(|error| {
        let text = format!("cannot subscribe to `topics` = {topics:?}: {error}");
        ConnectorError::new(kind_of_error(&error), text)
    })?;
    Ok((client, known))
}

fn create_client(
    source: &Kafka,
    config: &ClientConfig,
    shared: &SharedMember,
    events: &Arc<ClientEvents>,
) -> Result<Arc<MemberClient>, ConnectorError> {
    let callbacks = ConsumerCallbacks::new(events.clone(), shared.emitter.clone(), shared.producer);
    let mut consumer = BaseConsumer::from_config_and_context(config, callbacks)
        .map_err(|error| rejected_settings(&error, &source.settings))?;
    let this = thread::current();
    consumer.set_nonempty_callback(move || this.unpark());
    Ok(MemberClient::new(consumer))
}

/// Waits for a broker, then for every topic that is given by name.
fn wait_for_topics(
    client: &MemberClient,
    source: &Kafka,
    events: &ClientEvents,
) -> Result<(), ConnectorError> {
    let metadata = |topic: Option<&str>, timeout| client.fetch_metadata(topic, timeout);
    // The client is not subscribed yet, so a poll returns no messages; events go to the callbacks.
    let poll = || drop(client.poll(Duration::ZERO));
    let probe = ClusterProbe {
        brokers: &source.brokers,
        connect_timeout: source.connect_timeout,
        client: format!("this client of group `{}` (option `group`)", source.group),
        topic_option: "topics",
        settings: &source.settings,
        role: ClientRole::Source,
        events,
        metadata: &metadata,
        new_topic: source.create_if_missing.as_ref(),
        create_topic: &|name, topic, timeout| create_topic(client.client(), name, topic, timeout),
        poll: &poll,
    };
    let names: Vec<_> = source
        .topics
        .iter()
        .filter(|topic| !topic.starts_with('^'))
        .map(String::as_str)
        .collect();
    probe.wait_for_topics(&names)
}

type CreateTopic<'a> = dyn Fn(&str, &NewTopic, Duration) -> Result<(), CreateTopicError> + 'a;

type FetchMetadata<'a> = dyn Fn(Option<&str>, Duration) -> KafkaResult<Metadata> + 'a;

/// Checks a cluster before it is used: whether a broker answers, accepts this client, and has the topics. Used by sources and publishers.
pub(crate) struct ClusterProbe<'a> {
    pub(crate) brokers: &'a str,
    pub(crate) connect_timeout: Duration,
    /// The client, as error texts name it.
    pub(crate) client: String,
    /// The option that names the topics.
    pub(crate) topic_option: &'a str,
    pub(crate) settings: &'a ClientSettings,
    pub(crate) role: ClientRole,
    pub(crate) events: &'a ClientEvents,
    pub(crate) metadata: &'a FetchMetadata<'a>,
    /// How missing topics are created, if they are.
    pub(crate) new_topic: Option<&'a NewTopic>,
    pub(crate) create_topic: &'a CreateTopic<'a>,
    /// Runs at most one callback of the client.
    pub(crate) poll: &'a dyn Fn(),
}

impl ClusterProbe<'_> {
    /// Waits for a broker that answers and has these topics. Creates missing ones, if that was asked for.
    pub(crate) fn wait_for_topics(&self, topics: &[&str]) -> Result<(), ConnectorError> {
        let deadline = Deadline::after(self.connect_timeout);
        let wait_for = |topic| self.fetch_metadata(topic, deadline).map(drop);
        if topics.is_empty() {
            return wait_for(None);
        }
        let Some(new_topic) = self.new_topic else {
            return topics.iter().try_for_each(|topic| wait_for(Some(topic)));
        };
        // Missing topics are found in the list of all topics, and created before the first request that names them: a broker with
        // `auto.create.topics.enable` would create a topic at such a request, with its own number of partitions.
        let all = self.fetch_metadata(None, deadline)?;
        let exists = |topic: &str| {
            let mut listed = all.topics().iter();
            listed.any(|known| known.name() == topic && known.error().is_none())
        };
        topics.iter().try_for_each(|topic| {
            if exists(topic) {
                return Ok(());
            }
            let created = self.create(topic, new_topic, deadline);
            // The topic may exist all the same: created meanwhile, or not listed for this client. Then a failure to create it does not
            // matter.
            wait_for(Some(topic)).map_err(|error| created.err().unwrap_or(error))
        })
    }

    /// Creates a topic. Succeeds if it exists already.
    fn create(
        &self,
        topic: &str,
        new: &NewTopic,
        deadline: Deadline,
    ) -> Result<(), ConnectorError> {
        loop {
            let created = (self.create_topic)(topic, new, deadline.remaining());
            self.poll_callbacks();
            let error = match created {
                Ok(()) => {
                    tracing::info!(target: "broadway_kafka", topic, ?new, "topic created");
                    return Ok(());
                }
                Err(error) if error.code == RDKafkaErrorCode::TopicAlreadyExists => return Ok(()),
                Err(error) => error,
            };
            // The controller may be moving to another broker.
            if error.code == RDKafkaErrorCode::NotController && !deadline.is_over() {
                thread::sleep(UNKNOWN_PAUSE);
                continue;
            }
            let text = format!(
                "the broker at `brokers` = {:?} does not create topic `{topic}` (option `create_if_missing`): {}{}",
                self.brokers,
                error.text,
                create_topic_help(error.code)
            );
            return Err(ConnectorError::new(kind_of(error.code), text));
        }
    }

    /// Returns the metadata of a topic that exists, or of all topics.
    fn fetch_metadata(
        &self,
        topic: Option<&str>,
        deadline: Deadline,
    ) -> Result<Metadata, ConnectorError> {
        let mut unknown = 0;
        loop {
            let left = deadline.remaining();
            if left.is_zero() {
                return Err(self.unreachable());
            }
            let answer = (self.metadata)(topic, left.min(METADATA_TIMEOUT));
            self.poll_callbacks();
            if let Some(denial) = self.events.errors().denial {
                return Err(denial.to_error(format!(
                    "the broker at `brokers` = {:?} rejects {}: {}{}",
                    self.brokers,
                    self.client,
                    denial.text,
                    self.help(&denial.text)
                )));
            }
            let Ok(metadata) = answer else { continue };
            let Some(topic) = topic else {
                return Ok(metadata);
            };
            let error = metadata
                .topics()
                .iter()
                .find(|known| known.name() == topic)
                .and_then(|known| known.error());
            let Some(code) = error.map(RDKafkaErrorCode::from) else {
                return Ok(metadata);
            };
            if is_denial(code) {
                let text = format!(
                    "the broker denies access to topic `{topic}` (option `{}`): {code}{}",
                    self.topic_option,
                    self.help(&code.to_string())
                );
                return Err(ConnectorError::new(kind_of(code), text));
            }
            if matches!(
                code,
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic
            ) {
                unknown += 1;
            }
            if unknown >= UNKNOWN_MAX || code == RDKafkaErrorCode::InvalidTopic {
                return Err(ConnectorError::permanent(format!(
                    "the broker at `brokers` = {:?} has no topic `{topic}` (option `{}`): create it (`create_if_missing` does), or correct the name ({code})",
                    self.brokers, self.topic_option
                )));
            }
            thread::sleep(UNKNOWN_PAUSE);
        }
    }

    /// Runs the callbacks that are due, so that errors are recorded.
    fn poll_callbacks(&self) {
        loop {
            let calls = self.events.calls();
            (self.poll)();
            if self.events.calls() == calls {
                return;
            }
        }
    }

    fn unreachable(&self) -> ConnectorError {
        let why = self
            .events
            .errors()
            .last
            .unwrap_or_else(|| "no answer".to_owned());
        let help = match self.help(&why) {
            help if help.is_empty() => "; check the hosts and ports, and the network".to_owned(),
            help => help,
        };
        ConnectorError::transient(format!(
            "no broker at `brokers` = {:?} answered within {:?} (`connect_timeout`): {why}{help}",
            self.brokers, self.connect_timeout
        ))
    }

    fn help(&self, text: &str) -> String {
        help(text, self.settings, self.role)
    }
}
