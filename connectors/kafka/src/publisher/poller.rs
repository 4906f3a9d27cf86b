//! The thread of a publisher: it opens the client, runs its callbacks, replaces it when it has broken, and ends it. All calls of the client
//! that block are made here.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use broadway_core::{
    Deadline, PublishError,
    connector::{ConnectorError, InFlight},
};
use rdkafka::error::KafkaError;
use tokio::sync::{oneshot, watch};

use super::{
    builder::KafkaPublisherBuilder,
    client::ProducerClient,
    clients::{LIMITS_TIMEOUT, POLL, ProducerClients},
    error,
    in_flight::InFlightMessages,
};
use crate::{client_events::ClientEvents, connect::ClusterProbe, settings::ClientRole, sync::lock};

/// The state that the thread and the clones of the publisher share.
pub(super) struct PublisherShared {
    /// The messages that the client has. It has its own permits, which are released in batches; the permits of [`InFlight`] are not used.
    pub(super) in_flight: Arc<InFlightMessages>,
    /// The open calls, for `flush`.
    pub(super) calls: Arc<InFlight>,
    pub(super) clients: Arc<ProducerClients>,
    events: Arc<ClientEvents>,
    /// When closing gives up unconfirmed messages. `None` until the publisher is closed.
    close_by: Mutex<Option<Deadline>>,
    /// How many messages were given up. `None` until the thread has ended.
    given_up: watch::Sender<Option<usize>>,
}

impl PublisherShared {
    pub(super) fn new(options: &KafkaPublisherBuilder) -> Arc<Self> {
        let in_flight = Arc::new(InFlightMessages::new(options.in_flight_max));
        let events = Arc::<ClientEvents>::default();
        Arc::new(Self {
            clients: ProducerClients::new(
                options.clone(),
                Arc::clone(&in_flight),
                Arc::clone(&events),
            ),
            in_flight,
            calls: InFlight::new(options.in_flight_max),
            events,
            close_by: Mutex::default(),
            given_up: watch::Sender::new(None),
        })
    }

    /// Stops accepting messages. The thread ends once all are confirmed or have failed, or after `within`. A repeated call changes nothing.
    pub(super) fn close(&self, within: Duration) {
        self.in_flight.close();
        lock(&self.close_by).get_or_insert_with(|| Deadline::after(within));
    }

    /// Waits until the thread has ended. Returns how many messages were given up.
    pub(super) async fn closed(&self) -> usize {
        let mut given_up = self.given_up.subscribe();
        let ended = given_up.wait_for(Option::is_some).await;
        ended.ok().and_then(|n| *n).unwrap_or_default()
    }

    /// The error for a message that the client did not accept.
    pub(super) fn not_accepted(
        &self,
        options: &KafkaPublisherBuilder,
        error: &KafkaError,
        topic: &str,
    ) -> PublishError {
        if self.in_flight.is_closed() && self.clients.have_ended() {
            return PublishError::closed();
        }
        let last = self.events.errors().last;
        error::of_message(error, topic, options.confirm_timeout, last.as_deref())
    }

    fn should_end(&self) -> bool {
        let close_by = *lock(&self.close_by);
        close_by.is_some_and(|close_by| self.in_flight.len() == 0 || close_by.is_over())
    }
}

/// Starts the thread. The receiver returns whether the publisher could be opened.
pub(super) fn start(
    options: KafkaPublisherBuilder,
    shared: &Arc<PublisherShared>,
) -> Result<oneshot::Receiver<Result<(), ConnectorError>>, ConnectorError> {
    let (opened, opening) = oneshot::channel();
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("kafka-publisher".to_owned())
        .spawn(move || run(&options, &shared, opened))
        .map_err(|error| {
            ConnectorError::transient(format!(
                "cannot start a thread for a Kafka publisher: {error}"
            ))
        })?;
    Ok(opening)
}

/// The body of the thread.
fn run(
    options: &KafkaPublisherBuilder,
    shared: &Arc<PublisherShared>,
    opened: oneshot::Sender<Result<(), ConnectorError>>,
) {
    let client = match open(options, shared) {
        Ok(client) => client,
        Err(error) => {
            drop(opened.send(Err(error)));
            return;
        }
    };
    shared.clients.add_first(&client);
    if opened.send(Ok(())).is_err() {
        shared.close(Duration::ZERO); // The future of `open` was dropped.
    }
    serve(shared, client);
}

/// Creates the first client: it has reached a broker, and its requests do not exceed the topic's limit.
fn open(
    options: &KafkaPublisherBuilder,
    shared: &PublisherShared,
) -> Result<Arc<ProducerClient>, ConnectorError> {
    let clients = &shared.clients;
    let client = clients.create(clients.first_limit())?;
    let metadata = |topic: Option<&str>, timeout| client.metadata(topic, timeout);
    let poll = || client.poll(Duration::ZERO);
    let probe = ClusterProbe {
        brokers: &options.brokers,
        connect_timeout: options.connect_timeout,
        client: format!("this publisher to topic `{}`", options.topic),
        topic_option: "topic",
        settings: &options.settings,
        role: ClientRole::Publisher,
        events: &shared.events,
        metadata: &metadata,
        new_topic: options.create_if_missing.as_ref(),
        create_topic: &|name, topic, timeout| client.create_topic(name, topic, timeout),
        poll: &poll,
    };
    let topics = [&*options.topic];
    probe.wait_for_topics(&topics)?;
    clients.record_limits(
        &topics,
        client.topic_limits(&topics, LIMITS_TIMEOUT.min(options.connect_timeout)),
    );
    if clients.first_limit() == client.request_limit() {
        return Ok(client);
    }
    // The topic's limit is below `batch.size`, and a client's requests have a fixed limit, so the client is replaced.
    let smaller = clients.create(clients.first_limit())?;
    client.end();
    Ok(smaller)
}

fn serve(shared: &PublisherShared, mut client: Arc<ProducerClient>) {
    let mut replace_after = Instant::now();
    loop {
        client.poll(POLL);
        if shared.should_end() {
            break;
        }
        client = shared.clients.replace_if_broken(client, &mut replace_after);
    }
    drop(client);
    // From here on callers find no client, so the number of messages in flight can only fall.
    let clients = shared.clients.end();
    let given_up = shared.in_flight.len();
    clients.into_iter().for_each(ProducerClient::end);
    shared.given_up.send_replace(Some(given_up));
}
