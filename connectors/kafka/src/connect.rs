//! The first steps of a member: a client that is made, a broker that answers, topics that exist. A publisher asks at the
//! same [`Door`].

use std::{sync::Arc, thread, time::Duration};

use broadway_core::{BoxError, Deadline};
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    metadata::Metadata,
};

use crate::{
    begin::Known,
    client::Client,
    config::Kafka,
    events::{Context, Mailbox, is_denial},
    ffi::{CreateError, create_topic},
    hint::advice,
    prefetch,
    settings::{Settings, Side, is_secret},
    shared::Shared,
    topic::NewTopic,
};

/// How long one question for metadata waits, so that errors which came meanwhile are seen.
const SLICE: Duration = Duration::from_secs(1);
/// How often a broker may say that a topic is unknown, which takes three seconds: it may have been made a moment ago.
const UNKNOWN_MAX: u32 = 12;
const UNKNOWN_PAUSE: Duration = Duration::from_millis(250);

/// Connects, checks the topics, subscribes. On the member's own thread, since all of it blocks.
pub(crate) fn connect(
    source: &Kafka,
    config: &ClientConfig,
    shared: &Shared,
    mailbox: &Arc<Mailbox>,
) -> Result<(Arc<Client>, Known), BoxError> {
    let connected = subscribed(source, config.clone(), shared, mailbox);
    if connected.is_err() {
        mailbox.close();
    }
    Ok(connected?)
}

fn subscribed(
    source: &Kafka,
    mut config: ClientConfig,
    shared: &Shared,
    mailbox: &Arc<Mailbox>,
) -> Result<(Arc<Client>, Known), String> {
    let mut client = make(source, &config, shared, mailbox)?;
    reach(&client, source, mailbox)?;
    let known = Known::of_cluster(&client, source)?;
    let limits = prefetch::limit(
        &mut config,
        &source.settings,
        source.prefetch_bytes_max,
        known.partitions,
    );
    if let Some(limits) = limits {
        tracing::debug!(target: "broadway_kafka", ?limits, partitions = known.partitions, "the client's prefetch is bounded");
        // The client takes its limits when it is made, and only now it is known how many partitions share them.
        client.free();
        client = make(source, &config, shared, mailbox)?;
    }
    let topics: Vec<&str> = source.topics.iter().map(String::as_str).collect();
    client
        .subscribe(&topics)
        .map_err(|error| format!("cannot subscribe to `topics` = {topics:?}: {error}"))?;
    Ok((client, known))
}

fn make(
    source: &Kafka,
    config: &ClientConfig,
    shared: &Shared,
    mailbox: &Arc<Mailbox>,
) -> Result<Arc<Client>, String> {
    let context = Context::new(mailbox.clone(), shared.emitter.clone(), shared.producer);
    let mut consumer = BaseConsumer::from_config_and_context(config, context)
        .map_err(|error| explain(&error, &source.settings))?;
    let this = thread::current();
    consumer.set_nonempty_callback(move || this.unpark());
    Ok(Client::new(consumer))
}

/// Waits for a broker, then for every topic that is given by name.
fn reach(client: &Client, source: &Kafka, mailbox: &Mailbox) -> Result<(), String> {
    let metadata = |topic: Option<&str>, timeout| client.fetch_metadata(topic, timeout);
    // Not subscribed yet: there is nothing but events, which the callbacks take.
    let poll = || drop(client.poll(Duration::ZERO));
    let door = Door {
        brokers: &source.brokers,
        connect_timeout: source.connect_timeout,
        client: format!("this client, of group `{}` (option `group`)", source.group),
        topic_option: "topics",
        settings: &source.settings,
        side: Side::Source,
        mailbox,
        metadata: &metadata,
        create: source.create_if_missing.as_ref(),
        make: &|name, topic, timeout| create_topic(client.client(), name, topic, timeout),
        poll: &poll,
    };
    let names: Vec<_> = source
        .topics
        .iter()
        .filter(|topic| !topic.starts_with('^'))
        .map(String::as_str)
        .collect();
    door.reach(&names)
}

type Make<'a> = dyn Fn(&str, &NewTopic, Duration) -> Result<(), CreateError> + 'a;

type Ask<'a> = dyn Fn(Option<&str>, Duration) -> KafkaResult<Metadata> + 'a;

/// What a client of either side asks of a cluster before anything else, and how it says that it cannot come in.
pub(crate) struct Door<'a> {
    pub(crate) brokers: &'a str,
    pub(crate) connect_timeout: Duration,
    /// Who is refused, in words.
    pub(crate) client: String,
    /// The option that names the topics.
    pub(crate) topic_option: &'a str,
    /// For what to do.
    pub(crate) settings: &'a Settings,
    pub(crate) side: Side,
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) metadata: &'a Ask<'a>,
    /// How a topic is created that is missing.
    pub(crate) create: Option<&'a NewTopic>,
    pub(crate) make: &'a Make<'a>,
    /// Lets the client report one thing, if there is one.
    pub(crate) poll: &'a dyn Fn(),
}

impl Door<'_> {
    /// Waits for a broker that answers, and knows these topics.
    pub(crate) fn reach(&self, topics: &[&str]) -> Result<(), String> {
        let deadline = Deadline::after(self.connect_timeout);
        let known = |topic| self.ask(topic, deadline).map(drop);
        if topics.is_empty() {
            return known(None);
        }
        let Some(new) = self.create else {
            return topics.iter().try_for_each(|topic| known(Some(topic)));
        };
        // Looked for in the list of all, and created before they are asked for by name: a broker that makes topics by itself would
        // make one that it is asked for, with its own number of partitions.
        let all = self.ask(None, deadline)?;
        let is_there = |topic: &str| {
            let mut listed = all.topics().iter();
            listed.any(|known| known.name() == topic && known.error().is_none())
        };
        topics.iter().try_for_each(|topic| {
            if is_there(topic) {
                return Ok(());
            }
            let created = self.create(topic, new, deadline);
            // Who may not create a topic may still use one that is there.
            known(Some(topic)).map_err(|error| created.err().unwrap_or(error))
        })
    }

    /// Creates a topic, or finds that it is there.
    fn create(&self, topic: &str, new: &NewTopic, deadline: Deadline) -> Result<(), String> {
        loop {
            let made = (self.make)(topic, new, deadline.remaining());
            self.hear();
            let error = match made {
                Ok(()) => {
                    tracing::info!(target: "broadway_kafka", topic, ?new, "topic created");
                    return Ok(());
                }
                Err(error) if error.code == RDKafkaErrorCode::TopicAlreadyExists => return Ok(()),
                Err(error) => error,
            };
            // The controller may just be moving.
            if error.code == RDKafkaErrorCode::NotController && !deadline.is_over() {
                thread::sleep(UNKNOWN_PAUSE);
                continue;
            }
            return Err(format!(
                "the broker at `brokers` = {:?} does not create topic `{topic}` (option `create_if_missing`): {}{}",
                self.brokers,
                error.text,
                create_advice(error.code)
            ));
        }
    }

    fn ask(&self, topic: Option<&str>, deadline: Deadline) -> Result<Metadata, String> {
        let mut unknown = 0;
        loop {
            let left = deadline.remaining();
            if left.is_zero() {
                return Err(self.unreachable());
            }
            let answer = (self.metadata)(topic, left.min(SLICE));
            self.hear();
            if let Some(denied) = self.mailbox.trouble().denied {
                return Err(format!(
                    "the broker at `brokers` = {:?} refuses {}: {denied}{}",
                    self.brokers,
                    self.client,
                    self.advice(&denied)
                ));
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
                return Err(format!(
                    "the broker refuses topic `{topic}` (option `{}`): {code}{}",
                    self.topic_option,
                    self.advice(&code.to_string())
                ));
            }
            if matches!(
                code,
                RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic
            ) {
                unknown += 1;
            }
            if unknown >= UNKNOWN_MAX || code == RDKafkaErrorCode::InvalidTopic {
                return Err(format!(
                    "the broker at {:?} has no topic `{topic}` (option `{}`): create it (`create_if_missing` does), or correct the name ({code})",
                    self.brokers, self.topic_option
                ));
            }
            thread::sleep(UNKNOWN_PAUSE);
        }
    }

    /// Lets the client report errors.
    fn hear(&self) {
        loop {
            let calls = self.mailbox.calls();
            (self.poll)();
            if self.mailbox.calls() == calls {
                return;
            }
        }
    }

    fn unreachable(&self) -> String {
        let why = self
            .mailbox
            .trouble()
            .last
            .unwrap_or_else(|| "no answer".to_owned());
        let advice = match self.advice(&why) {
            advice if advice.is_empty() => {
                "; check the hosts and ports, and the network".to_owned()
            }
            advice => advice,
        };
        format!(
            "no broker at `brokers` = {:?} answered within {:?} (`connect_timeout`): {why}{advice}",
            self.brokers, self.connect_timeout
        )
    }

    fn advice(&self, words: &str) -> String {
        advice(words, self.settings, self.side)
    }
}

/// What to do where a topic is not created.
fn create_advice(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "; grant CREATE on the topic or on the cluster to this client's principal, or create the topic by hand"
        }
        RDKafkaErrorCode::InvalidReplicationFactor => {
            "; give `NewTopic::replication` from 1 to the number of brokers"
        }
        RDKafkaErrorCode::InvalidPartitions => {
            "; give `NewTopic::partitions` what the cluster allows"
        }
        RDKafkaErrorCode::InvalidConfig => "; check what is given to `NewTopic::set`",
        RDKafkaErrorCode::InvalidTopic => "; correct the name",
        RDKafkaErrorCode::PolicyViolation => {
            "; the cluster has a policy for new topics: keep to it, or have the topic created by those who run the cluster"
        }
        _ => "",
    }
}

/// What is wrong with the settings, without the value of a secret.
pub(crate) fn explain(error: &KafkaError, settings: &Settings) -> String {
    match error {
        KafkaError::ClientConfig(_, why, name, _) if is_secret(name) => {
            // The reason may hold the value, but not where it is that this build lacks a part.
            let is_lacking = why.contains("not supported in this build");
            let why = if is_lacking { why } else { "not shown here" };
            format!(
                "the value given for the setting `{name}` is not accepted by the Kafka client ({why})"
            )
        }
        KafkaError::ClientConfig(_, why, name, value) => {
            format!("the setting `{name}` = {value:?} is not accepted by the Kafka client: {why}")
        }
        KafkaError::ClientCreation(why) => {
            let mut text = format!("the Kafka client does not accept the settings: {why}");
            let named = settings
                .iter()
                .filter(|(name, _)| why.contains(name) && !is_secret(name));
            for (name, value) in named {
                text.push_str(&format!("; `{name}` = {value:?}"));
            }
            text
        }
        other => format!("the Kafka client cannot be made: {other}"),
    }
}
