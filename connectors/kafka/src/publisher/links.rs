//! The clients of a publisher: one for nearly everything, and narrower ones for topics with lower limits, made when they are
//! needed. What was refused together with others goes through the narrowest, one message in each request.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use broadway_core::Outgoing;
use rdkafka::{ClientConfig, error::RDKafkaErrorCode, message::BorrowedMessage};
use tokio::sync::oneshot;

use super::{
    builder::KafkaPublisherBuilder,
    flights::{Flights, Ticket},
    limits::{Limits, Width},
    link::Link,
};
use crate::{
    connect::explain,
    events::{Mailbox, lock},
    ffi::TopicLimit,
};

/// How long a client is polled before its thread looks whether it should end. Reports come at once.
pub(crate) const POLL: Duration = Duration::from_millis(50);
/// How soon a client that has broken may be replaced again.
const REPLACE_PAUSE: Duration = Duration::from_secs(1);
/// How long a topic is asked for its limit; without an answer, it is taken to have none.
pub(crate) const ASK: Duration = Duration::from_secs(2);
/// What librdkafka packs into a request unless it is set.
const BATCH_SIZE: usize = 1_000_000;

/// All clients of a publisher, by width.
pub(crate) struct Links {
    options: KafkaPublisherBuilder,
    config: ClientConfig,
    flights: Arc<Flights>,
    mailbox: Arc<Mailbox>,
    limits: Mutex<Limits>,
    /// Held while topics are asked, so that each is asked once.
    asking: tokio::sync::Mutex<()>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    links: BTreeMap<Width, Arc<Link>>,
    has_ended: bool,
}

impl Links {
    pub(crate) fn new(
        options: KafkaPublisherBuilder,
        flights: Arc<Flights>,
        mailbox: Arc<Mailbox>,
    ) -> Arc<Self> {
        let batch_size = options.settings.get("batch.size");
        let widest = batch_size.and_then(|size| size.parse().ok());
        Arc::new(Self {
            config: options.client_config(),
            flights,
            mailbox,
            limits: Mutex::new(Limits::new(Width::of_bytes(widest.unwrap_or(BATCH_SIZE)))),
            asking: tokio::sync::Mutex::default(),
            open: Mutex::default(),
            options,
        })
    }

    pub(crate) fn widest(&self) -> Width {
        lock(&self.limits).widest()
    }

    /// A client that is not among the others yet. Doesn't wait for a broker.
    pub(crate) fn make(self: &Arc<Self>, width: Width) -> Result<Arc<Link>, String> {
        let mut config = self.config.clone();
        if width == Width::ONE {
            config.set("batch.num.messages", "1");
            config.set("linger.ms", "0");
            // What comes here was with another client, and is bounded by `in_flight_max`.
            config.set("queue.buffering.max.messages", "0");
            config.set("queue.buffering.max.kbytes", i32::MAX.to_string());
        } else if width.bytes() != BATCH_SIZE {
            config.set("batch.size", width.bytes().to_string());
        }
        let confirm_timeout = self.options.confirm_timeout;
        Link::new(
            &config,
            width,
            confirm_timeout,
            (&self.flights, &self.mailbox),
            Arc::downgrade(self),
        )
        .map_err(|error| explain(&error, &self.options.settings))
    }

    /// The first client, which is polled by the publisher's own thread. No request becomes wider than its width.
    pub(crate) fn open(&self, link: &Arc<Link>) {
        lock(&self.limits).narrow(link.width());
        lock(&self.open)
            .links
            .insert(link.width(), Arc::clone(link));
    }

    /// The client of this width, made if there is none; `None` once all have ended.
    fn of_width(self: &Arc<Self>, width: Width) -> Option<Arc<Link>> {
        let mut open = lock(&self.open);
        if open.has_ended {
            return None;
        }
        if let Some(link) = open.links.get(&width) {
            return Some(Arc::clone(link));
        }
        let made = self.make(width).and_then(|link| {
            let (links, polled) = (Arc::clone(self), Arc::clone(&link));
            thread::Builder::new()
                .name("kafka-publisher".to_owned())
                .spawn(move || links.attend(polled))
                .map_err(|error| format!("no thread for it: {error}"))?;
            Ok(link)
        });
        match made {
            Ok(link) => {
                open.links.insert(width, Arc::clone(&link));
                Some(link)
            }
            Err(error) => {
                let topic = &self.options.topic;
                tracing::error!(target: "broadway_kafka", topic, error, "a publisher cannot make a client for smaller requests");
                open.links
                    .last_key_value()
                    .map(|(_, link)| Arc::clone(link))
            }
        }
    }

    /// The client for messages to this topic; `None` once all have ended.
    pub(crate) fn to(self: &Arc<Self>, topic: &str) -> Option<Arc<Link>> {
        let width = {
            let limits = lock(&self.limits);
            limits.width(topic).unwrap_or(limits.widest())
        };
        self.of_width(width)
    }

    pub(crate) fn have_ended(&self) -> bool {
        lock(&self.open).has_ended
    }

    /// Ends: there is no client any more. Returns those that there were.
    pub(crate) fn end(&self) -> Vec<Arc<Link>> {
        let mut open = lock(&self.open);
        open.has_ended = true;
        std::mem::take(&mut open.links).into_values().collect()
    }

    /// Polls a further client until it ends.
    fn attend(self: Arc<Self>, mut link: Arc<Link>) {
        let mut replace_after = Instant::now();
        while !link.has_ended() {
            link.poll(POLL);
            link = self.look_after(link, &mut replace_after);
        }
    }

    /// Replaces a client that will never send again. What that had, fails.
    pub(crate) fn look_after(
        self: &Arc<Self>,
        link: Arc<Link>,
        replace_after: &mut Instant,
    ) -> Arc<Link> {
        let Some(why) = link.fatal_error() else {
            return link;
        };
        let now = Instant::now();
        if now < *replace_after {
            return link;
        }
        *replace_after = now + REPLACE_PAUSE;
        let topic = &self.options.topic;
        let new = match self.make(link.width()) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(target: "broadway_kafka", topic, why, error, "a publisher's client has broken and cannot be replaced");
                return link;
            }
        };
        {
            let mut open = lock(&self.open);
            if open.has_ended {
                return link;
            }
            open.links.insert(link.width(), Arc::clone(&new));
        }
        tracing::warn!(target: "broadway_kafka", topic, why, "a publisher's client has broken and is replaced");
        link.end();
        new
    }

    /// Sends a message again that was refused together with others, alone: to the partition where it was, with all that it
    /// had, under the same ticket. Returns whether it is on its way.
    pub(crate) fn send_alone(
        self: &Arc<Self>,
        message: &BorrowedMessage<'_>,
        ticket: Ticket,
    ) -> bool {
        let Some(link) = self.of_width(Width::ONE) else {
            return false;
        };
        let time = self.flights.timestamp_ms(ticket);
        link.width() == Width::ONE && link.send_again(message, ticket, time).is_ok()
    }

    /// A request to this topic was refused as a whole, with `code`.
    pub(crate) fn doubt(&self, topic: &str, code: RDKafkaErrorCode) {
        if lock(&self.limits).doubt(topic, Instant::now()) {
            tracing::warn!(
                target: "broadway_kafka", topic, %code,
                "a topic refused a whole request: its messages are sent again one by one, and its `max.message.bytes` is asked \
                 again; where this goes on, permit this client DESCRIBE_CONFIGS of the topic or set a lower `batch.size`"
            );
        }
    }

    /// Asks for the limits of those destinations that are not known yet. Waits for an answer, two seconds at most.
    pub(crate) async fn learn_limits(self: &Arc<Self>, messages: &[Outgoing]) {
        if self.unknown(messages).is_empty() {
            return;
        }
        let _asking = self.asking.lock().await;
        let unknown = self.unknown(messages); // Others may have asked meanwhile.
        if unknown.is_empty() {
            return;
        }
        let (answered, answer) = oneshot::channel();
        let links = Arc::clone(self);
        let asked = thread::Builder::new()
            .name("kafka-publisher-ask".to_owned())
            .spawn(move || {
                links.ask(&unknown);
                let _ = answered.send(()); // The caller may have gone.
            });
        match asked {
            Ok(_) => drop(answer.await),
            Err(error) => {
                tracing::warn!(target: "broadway_kafka", %error, "no thread to ask for the limits of topics");
            }
        }
    }

    /// Where messages go whose limits are not known, each once.
    fn unknown(&self, messages: &[Outgoing]) -> BTreeSet<String> {
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
            if limits.width(topic).is_none() && !unknown.contains(topic) {
                unknown.insert(topic.to_owned());
            }
        }
        unknown
    }

    fn ask(self: &Arc<Self>, topics: &BTreeSet<String>) {
        let Some(link) = self.of_width(self.widest()) else {
            return;
        };
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        let answer = link.topic_limits(&names, ASK);
        self.learn(&names, answer);
        // What makes a client, which reads files and starts threads, is done here rather than by a caller.
        for topic in names {
            self.to(topic);
        }
    }

    /// Remembers what was answered. A topic of which nothing was said has no limit that is known.
    pub(crate) fn learn(&self, topics: &[&str], answer: Result<Vec<TopicLimit>, RDKafkaErrorCode>) {
        let now = Instant::now();
        let answers: BTreeMap<_, _> = match answer {
            Ok(answers) => answers.into_iter().collect(),
            Err(code) => {
                tracing::debug!(target: "broadway_kafka", ?topics, %code, "the limits of topics are not told");
                BTreeMap::new()
            }
        };
        let mut limits = lock(&self.limits);
        for topic in topics {
            let limit = match answers.get(*topic) {
                // To be asked again when it is there.
                Some(Err(RDKafkaErrorCode::UnknownTopicOrPartition)) => continue,
                Some(Err(code)) => {
                    tracing::debug!(target: "broadway_kafka", topic, %code, "the limit of a topic is not told");
                    None
                }
                Some(Ok(limit)) => Some(*limit),
                None => None,
            };
            limits.learn((*topic).to_owned(), limit, now);
        }
    }

    /// The first client's width, given what is known of the topic that messages go to by default.
    pub(crate) fn first_width(&self) -> Width {
        lock(&self.limits).narrowed_to(&self.options.topic)
    }
}
