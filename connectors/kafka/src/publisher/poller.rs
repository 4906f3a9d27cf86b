//! The thread of a publisher: it opens the client, hears what it reports, replaces it when it has broken for good, and ends
//! it. Everything of the client that blocks happens here.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use broadway_core::{BoxError, Deadline, PublishError};
use rdkafka::error::KafkaError;
use tokio::sync::{oneshot, watch};

use super::{
    builder::KafkaPublisherBuilder,
    call::Calls,
    failure,
    flights::Flights,
    link::Link,
    links::{ASK, Links, POLL},
};
use crate::{
    connect::Door,
    events::{Mailbox, lock},
    settings::Side,
};

/// What the thread and the publisher share.
pub(crate) struct Shared {
    pub(crate) flights: Arc<Flights>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) links: Arc<Links>,
    mailbox: Arc<Mailbox>,
    /// When it ends even if not all is confirmed, once it shall end.
    end_by: Mutex<Option<Deadline>>,
    /// Once it has ended: how many messages were given up.
    given_up: watch::Sender<Option<usize>>,
}

impl Shared {
    pub(crate) fn new(options: &KafkaPublisherBuilder) -> Arc<Self> {
        let flights = Arc::new(Flights::new(options.in_flight_max));
        let mailbox = Arc::<Mailbox>::default();
        Arc::new(Self {
            links: Links::new(options.clone(), Arc::clone(&flights), Arc::clone(&mailbox)),
            flights,
            calls: Arc::default(),
            mailbox,
            end_by: Mutex::default(),
            given_up: watch::Sender::new(None),
        })
    }

    /// Takes no more, and ends when all is confirmed or has failed, or after `within`. What was said first counts.
    pub(crate) fn end(&self, within: Duration) {
        self.flights.close();
        lock(&self.end_by).get_or_insert_with(|| Deadline::after(within));
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
        if self.flights.is_closed() && self.links.have_ended() {
            return PublishError::closed();
        }
        let trouble = self.mailbox.trouble().last;
        failure::explain(error, topic, options.confirm_timeout, trouble.as_deref())
    }

    fn should_end(&self) -> bool {
        let end_by = *lock(&self.end_by);
        end_by.is_some_and(|end_by| self.flights.len() == 0 || end_by.is_over())
    }
}

/// The thread's whole life. Says through `opened` whether it could open.
pub(crate) fn run(
    options: &KafkaPublisherBuilder,
    shared: &Arc<Shared>,
    opened: oneshot::Sender<Result<(), BoxError>>,
) {
    let link = match open(options, shared) {
        Ok(link) => link,
        Err(error) => {
            drop(opened.send(Err(error)));
            return;
        }
    };
    shared.links.open(&link);
    if opened.send(Ok(())).is_err() {
        shared.end(Duration::ZERO); // Nobody waits for it any more.
    }
    serve(shared, link);
}

/// The first client: one that has reached a broker, and packs no more into a request than the topic takes.
fn open(options: &KafkaPublisherBuilder, shared: &Shared) -> Result<Arc<Link>, BoxError> {
    let links = &shared.links;
    let link = links.make(links.first_width())?;
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
        create: options.create_if_missing.as_ref(),
        make: &|name, topic, timeout| link.create_topic(name, topic, timeout),
        poll: &poll,
    };
    let topics = [&*options.topic];
    door.reach(&topics)?;
    links.learn(
        &topics,
        link.topic_limits(&topics, ASK.min(options.connect_timeout)),
    );
    if links.first_width() == link.width() {
        return Ok(link);
    }
    let narrower = links.make(links.first_width())?;
    link.end();
    Ok(narrower)
}

fn serve(shared: &Shared, mut link: Arc<Link>) {
    let mut replace_after = Instant::now();
    loop {
        link.poll(POLL);
        if shared.should_end() {
            break;
        }
        link = shared.links.look_after(link, &mut replace_after);
    }
    drop(link);
    let links = shared.links.end();
    let given_up = shared.flights.len();
    links.into_iter().for_each(Link::end);
    shared.given_up.send_replace(Some(given_up));
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
