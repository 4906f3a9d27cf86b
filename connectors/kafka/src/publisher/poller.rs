//! The thread of a publisher: it opens the client, hears what it reports, replaces it when it has broken for good, and ends
//! it. Everything of the client that blocks happens here.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use broadway_core::{BoxError, PublishError};
use rdkafka::{ClientConfig, error::KafkaError};
use tokio::sync::{oneshot, watch};

use super::{builder::KafkaPublisherBuilder, call::Calls, failure, flights::Flights, link::Link};
use crate::{
    connect::{Door, explain},
    events::{Mailbox, lock},
    settings::Side,
};

/// How long the client is heard before the thread looks whether it should end. Reports are heard at once.
const POLL: Duration = Duration::from_millis(50);
/// How soon a client that has broken may be replaced again.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);

/// What the thread and the publisher share.
pub(crate) struct Shared {
    pub(crate) flights: Arc<Flights>,
    pub(crate) calls: Arc<Calls>,
    mailbox: Arc<Mailbox>,
    link: Mutex<Option<Arc<Link>>>,
    /// When it ends even if not all is confirmed, once it shall end.
    end_by: Mutex<Option<Instant>>,
    /// Once it has ended: how many messages were given up.
    given_up: watch::Sender<Option<usize>>,
}

impl Shared {
    pub(crate) fn new(in_flight_max: usize) -> Arc<Self> {
        Arc::new(Self {
            flights: Arc::new(Flights::new(in_flight_max)),
            calls: Arc::default(),
            mailbox: Arc::default(),
            link: Mutex::default(),
            end_by: Mutex::default(),
            given_up: watch::Sender::new(None),
        })
    }

    /// The client; `None` once it has ended.
    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        lock(&self.link).clone()
    }

    /// Takes no more, and ends when all is confirmed or has failed, or after `within`. What was said first counts.
    pub(crate) fn end(&self, within: Duration) {
        self.flights.close();
        lock(&self.end_by).get_or_insert_with(|| Instant::now() + within);
    }

    /// Waits until it has ended. Returns how many messages were given up.
    pub(crate) async fn ended(&self) -> usize {
        let mut given_up = self.given_up.subscribe();
        let ended = given_up.wait_for(Option::is_some).await;
        ended.ok().and_then(|n| *n).unwrap_or_default()
    }

    /// What an error means that the client gave at once, without having taken the message.
    pub(crate) fn explain(
        &self,
        options: &KafkaPublisherBuilder,
        error: &KafkaError,
        topic: &str,
    ) -> PublishError {
        if self.flights.is_closed() && self.link().is_none() {
            return PublishError::closed();
        }
        let trouble = self.mailbox.trouble().last;
        failure::explain(error, topic, options.confirm_timeout, trouble.as_deref())
    }

    fn should_end(&self) -> bool {
        let end_by = *lock(&self.end_by);
        end_by.is_some_and(|end_by| self.flights.len() == 0 || Instant::now() >= end_by)
    }
}

/// The thread's whole life. Says through `opened` whether it could open.
pub(crate) fn run(
    options: &KafkaPublisherBuilder,
    shared: &Arc<Shared>,
    opened: oneshot::Sender<Result<(), BoxError>>,
) {
    let config = options.client_config();
    let link = match open(options, &config, shared) {
        Ok(link) => link,
        Err(error) => {
            drop(opened.send(Err(error)));
            return;
        }
    };
    *lock(&shared.link) = Some(Arc::clone(&link));
    if opened.send(Ok(())).is_err() {
        shared.end(Duration::ZERO); // Nobody waits for it any more.
    }
    serve(options, &config, shared, link);
}

fn open(
    options: &KafkaPublisherBuilder,
    config: &ClientConfig,
    shared: &Shared,
) -> Result<Arc<Link>, BoxError> {
    let link = new_link(options, config, shared)?;
    let metadata = |topic: Option<&str>, timeout| link.metadata(topic, timeout);
    let poll = || link.poll(Duration::ZERO);
    let door = Door {
        brokers: &options.brokers,
        connect_timeout: options.connect_timeout,
        client: format!("this publisher to topic `{}`", options.topic),
        topic_option: "topic",
        settings: &options.settings,
        side: Side::Publisher,
        mailbox: &shared.mailbox,
        metadata: &metadata,
        poll: &poll,
    };
    door.reach(&[&options.topic])?;
    Ok(link)
}

fn new_link(
    options: &KafkaPublisherBuilder,
    config: &ClientConfig,
    shared: &Shared,
) -> Result<Arc<Link>, String> {
    Link::new(
        config,
        options.confirm_timeout,
        &shared.flights,
        &shared.mailbox,
    )
    .map_err(|error| explain(&error, &options.settings))
}

fn serve(
    options: &KafkaPublisherBuilder,
    config: &ClientConfig,
    shared: &Shared,
    mut link: Arc<Link>,
) {
    let mut replace_after = Instant::now();
    loop {
        link.poll(POLL);
        if shared.should_end() {
            break;
        }
        if let Some(why) = link.fatal_error()
            && Instant::now() >= replace_after
        {
            replace_after = Instant::now() + REPLACE_PAUSE;
            link = replace(options, config, shared, link, &why);
        }
    }
    *lock(&shared.link) = None;
    let given_up = shared.flights.len();
    link.end();
    shared.given_up.send_replace(Some(given_up));
}

/// A new client in the place of one that will never send again. What that had, fails.
fn replace(
    options: &KafkaPublisherBuilder,
    config: &ClientConfig,
    shared: &Shared,
    old: Arc<Link>,
    why: &str,
) -> Arc<Link> {
    match new_link(options, config, shared) {
        Ok(new) => {
            tracing::warn!(target: "broadway_kafka", topic = options.topic, why, "a publisher's client has broken and is replaced");
            *lock(&shared.link) = Some(Arc::clone(&new));
            old.end();
            new
        }
        Err(error) => {
            tracing::error!(target: "broadway_kafka", topic = options.topic, why, error, "a publisher's client has broken and cannot be replaced");
            old
        }
    }
}

/// Starts the thread.
pub(crate) fn start(
    options: KafkaPublisherBuilder,
    shared: &Arc<Shared>,
) -> Result<oneshot::Receiver<Result<(), BoxError>>, BoxError> {
    let (opened, opening) = oneshot::channel();
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("kafka-publisher".to_owned())
        .spawn(move || run(&options, &shared, opened))
        .map_err(|error| format!("no thread for a Kafka publisher: {error}"))?;
    Ok(opening)
}
