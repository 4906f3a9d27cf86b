//! Where to publish and how: [`RabbitMqPublisherBuilder`].

use std::{fmt, time::Duration};

use broadway_core::{BoxError, Checks, ConfigError, Deadline, Problem, connector::readable};
use lapin::{
    Connection, Error, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{RabbitMqPublisher, channels::Channels, confirms::explain, convert::Converter};
use crate::{
    connect::{ConnectOptions, OpenConnection},
    error::{NOT_FOUND, Trouble, code},
    names::longer_than_amqp_carries,
};

/// The most that RabbitMQ 4 takes where nobody has said otherwise; 3 takes more.
const BYTES_MAX: usize = 16 * 1_024 * 1_024;
/// The most that any broker takes.
const BYTES_LIMIT: usize = 512 * 1_024 * 1_024;
const IN_FLIGHT_LIMIT: usize = 1_000_000;

/// The options of a [`RabbitMqPublisher`]; made by [`RabbitMqPublisher::exchange`] and [`RabbitMqPublisher::queue`].
///
/// ```no_run
/// use std::time::Duration;
/// use broadway_rabbitmq::RabbitMqPublisher;
///
/// # async fn run() -> Result<(), broadway_core::BoxError> {
/// let orders = RabbitMqPublisher::queue("orders")
///     .uri("amqps://me:secret@rabbit.example.com/shop")
///     .confirm_timeout(Duration::from_secs(10))
///     .open()
///     .await?;
/// # let _ = orders;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a publisher is made by `open`"]
pub struct RabbitMqPublisherBuilder {
    connect_options: ConnectOptions,
    /// Empty is the default exchange, which knows every queue by its name.
    pub(super) exchange: String,
    to_queue: bool,
    routing_key: Option<String>,
    pub(super) converter: Converter,
    pub(super) mandatory: bool,
    create_if_missing: bool,
    pub(super) in_flight_max: usize,
    pub(super) confirm_timeout: Duration,
    pub(super) close_timeout: Duration,
}

impl RabbitMqPublisherBuilder {
    pub(super) fn exchange(name: String) -> Self {
        let mut connect_options = ConnectOptions::new();
        "amqp://guest:guest@localhost:5672/%2f".clone_into(&mut connect_options.uri);
        Self {
            connect_options,
            exchange: name,
            to_queue: false,
            routing_key: None,
            converter: Converter {
                routing_key: String::new(),
                persistent: true,
                bytes_max: BYTES_MAX,
            },
            mandatory: true,
            create_if_missing: false,
            in_flight_max: 1_000,
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn queue(name: String) -> Self {
        let mut builder = Self::exchange(String::new());
        builder.to_queue = true;
        builder.converter.routing_key = name;
        builder
    }

    /// Where the broker is: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. Special characters are
    /// percent-encoded; no vhost is the vhost `/`, as is `%2F`. `heartbeat`, `frame_max`, `channel_max` and `auth_mechanism` may
    /// stand behind a `?`. The password is never shown. Default: `amqp://guest:guest@localhost:5672/%2f`.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.connect_options.uri = uri.into();
        self
    }

    /// The routing key of messages that have none of their own ([`Outgoing::to`](broadway_core::Outgoing::to)), for an
    /// exchange. Default: empty, which is what a fanout exchange needs.
    pub fn routing_key(mut self, key: impl Into<String>) -> Self {
        self.routing_key = Some(key.into());
        self
    }

    /// Whether messages outlive a restart of the broker, in queues that do. Default: `true`.
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.converter.persistent = persistent;
        self
    }

    /// Whether a message that no queue is bound for is refused. Without it, such a message counts as confirmed and is lost. The
    /// client logs what comes back, payload and all, as a warning of the target `lapin::returned_messages`. Default: `true`.
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Creates the queue, or the exchange, at opening where it is missing: both durable, the queue a classic one, the exchange of type
    /// topic. One that exists with other properties is used as it is; the client logs an error of the target `lapin` over the
    /// question. For development and tests.
    pub fn create_if_missing(mut self) -> Self {
        self.create_if_missing = true;
        self
    }

    /// The most messages unconfirmed at once, of all callers together; others wait. Default: 1,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long a message may remain unconfirmed until it fails, how long a call waits for a lost connection to come back, and how
    /// long [`flush`](broadway_core::Publisher::flush) waits. [`Duration::MAX`] is no limit. Default: 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long opening waits for a broker that answers, and each attempt to connect again. [`Duration::MAX`] is no limit. Default: 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_options.connect_timeout = timeout;
        self
    }

    /// How long closing waits for what is unconfirmed, and then for the broker's good-bye. [`Duration::MAX`] is no limit. Default: 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// After twice this time without a sign of the broker the connection counts as lost; the broker may ask for less. Whole seconds, up
    /// to an hour. Default: that of the uri, else 30 s.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.connect_options.heartbeat = Some(interval);
        self
    }

    /// What the broker's own pages call this connection. Default: `broadway-publisher`.
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.connect_options.connection_name = Some(name.into());
        self
    }

    /// One more authority to trust for `amqps://`, as the text of a file in PEM, besides those of the system. The
    /// certificate must name the host of the uri.
    pub fn ca_certificate(mut self, pem: impl Into<String>) -> Self {
        self.connect_options.ca_certificate = Some(pem.into());
        self
    }

    /// The most bytes of a payload; a larger one is refused before it is sent. The broker would close the channel over it, and
    /// with it the call. Default: 16 MiB, which is what RabbitMQ 4 takes (`max_message_size`); RabbitMQ 3 takes 128 MiB.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.converter.bytes_max = bytes;
        self
    }

    /// Connects, and checks that the exchange or the queue is there.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with all options that cannot work; or within `connect_timeout`, a text that names the option: nobody
    /// answers, the user or the vhost is refused, there is no such exchange or queue.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completes, the connection is let go.
    pub async fn open(self) -> Result<RabbitMqPublisher, BoxError> {
        self.try_open().await.map_err(readable)
    }

    async fn try_open(mut self) -> Result<RabbitMqPublisher, BoxError> {
        ConfigError::check("the RabbitMQ publisher", self.problems())?;
        if let Some(key) = self.routing_key.take() {
            self.converter.routing_key = key;
        }
        let name = &mut self.connect_options.connection_name;
        name.get_or_insert_with(|| "broadway-publisher".to_owned());
        let deadline = Deadline::after(self.connect_options.connect_timeout);
        let connected = self.connect_options.connect().await;
        let OpenConnection {
            connection,
            socket_guard,
            ..
        } = connected.map_err(Trouble::into_error)?;
        match deadline.within(self.find(&connection)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                socket_guard.release();
                return Err(error);
            }
            None => return Err(self.overdue().into()),
        }
        let channel_max = connection.configuration().channel_max();
        let channels = Channels::new(self.connect_options.clone(), connection, socket_guard);
        Ok(RabbitMqPublisher::new(self, channels, channel_max))
    }

    /// Where messages go, in words.
    pub(super) fn destination(&self) -> String {
        match &self.exchange[..] {
            "" => format!("queue `{}`", self.converter.routing_key),
            name => format!("exchange `{name}`"),
        }
    }

    /// Checks that it is there, or creates it. A question for what is missing would close its channel, over which the client logs an
    /// error: so what may be created is declared first, and asked for only where that is refused, since it is there with other
    /// properties or this user may not create it.
    async fn find(&self, connection: &Connection) -> Result<(), BoxError> {
        let mut refused = None;
        if self.create_if_missing {
            match self.declare(connection, false).await {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(explain(&error)),
            }
        }
        let Err(error) = self.declare(connection, true).await else {
            return Ok(());
        };
        let (option, destination) = (self.option(), self.destination());
        let is_missing = code(&error) == Some(NOT_FOUND);
        let text = match refused {
            Some(why) if is_missing => format!(
                "`create_if_missing`: the {destination} is missing and cannot be created: {why}"
            ),
            None if is_missing => format!(
                "the broker has no {destination} (option `{option}`) in the vhost of `uri` = {:?}: create it, or correct the name",
                self.connect_options.shown()
            ),
            _ => {
                let why = explain(&error);
                format!("no connect_options to the {destination} (option `{option}`): {why}")
            }
        };
        Err(text.into())
    }

    /// Asks for it when `passive`, creates it otherwise. The default exchange is always there.
    async fn declare(&self, connection: &Connection, passive: bool) -> Result<(), Error> {
        let channel = connection.create_channel().await?;
        if self.to_queue {
            let options = QueueDeclareOptions {
                passive,
                durable: true,
                ..QueueDeclareOptions::default()
            };
            let name = self.converter.routing_key.as_str().into();
            let declared = channel.queue_declare(name, options, FieldTable::default());
            declared.await?;
        } else {
            let options = ExchangeDeclareOptions {
                passive,
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            let name = self.exchange.as_str().into();
            let kind = ExchangeKind::Topic;
            let declared = channel.exchange_declare(name, kind, options, FieldTable::default());
            declared.await?;
        }
        channel.close(200, "done".into()).await
    }

    fn option(&self) -> &'static str {
        if self.to_queue { "queue" } else { "exchange" }
    }

    fn overdue(&self) -> String {
        format!(
            "the broker at `uri` = {:?} did not say within {:?} (`connect_timeout`) whether there is the {}",
            self.connect_options.shown(),
            self.connect_options.connect_timeout,
            self.destination()
        )
    }

    /// All that cannot work.
    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.extend(self.connect_options.problems());
        let name = match self.to_queue {
            true => &self.converter.routing_key,
            false => &self.exchange,
        };
        checks.require(
            !name.is_empty(),
            self.option(),
            "is empty; name the exchange, or the queue, to publish to",
        );
        if let Some(long) = longer_than_amqp_carries(name) {
            checks.add(self.option(), long);
        }
        let routing_key = self.routing_key.as_deref();
        checks.require(
            routing_key.is_none() || !self.to_queue,
            "routing_key",
            "is given for a queue, whose name it is; publish to an exchange, or leave it out",
        );
        if let Some(long) = routing_key.and_then(longer_than_amqp_carries) {
            checks.add("routing_key", long);
        }
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_LIMIT);
        checks.within("bytes_max", self.converter.bytes_max, 1..=BYTES_LIMIT);
        for (option, timeout) in [
            ("confirm_timeout", self.confirm_timeout),
            ("close_timeout", self.close_timeout),
        ] {
            checks.require(
                timeout >= Duration::from_millis(1),
                option,
                format_args!(
                    "is {timeout:?}; give a millisecond at least, or `Duration::MAX` for no limit"
                ),
            );
        }
        checks.into_problems()
    }
}

impl fmt::Debug for RabbitMqPublisherBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitMqPublisherBuilder")
            .field("connect_options", &self.connect_options)
            .field("exchange", &self.exchange)
            .field("routing_key", &self.converter.routing_key)
            .field("persistent", &self.converter.persistent)
            .field("mandatory", &self.mandatory)
            .field("create_if_missing", &self.create_if_missing)
            .field("in_flight_max", &self.in_flight_max)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("close_timeout", &self.close_timeout)
            .field("bytes_max", &self.converter.bytes_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_cannot_work_is_listed() {
        let uri = "amqp://me:secret@localhost";
        assert!(RabbitMqPublisher::queue("q").uri(uri).problems().is_empty());
        let patient = RabbitMqPublisher::queue("q").uri(uri);
        let patient = patient
            .connect_timeout(Duration::MAX)
            .confirm_timeout(Duration::MAX)
            .close_timeout(Duration::MAX);
        assert!(patient.problems().is_empty());
        assert!(
            RabbitMqPublisher::exchange("x")
                .uri(uri)
                .routing_key("k")
                .problems()
                .is_empty()
        );
        let wrong = RabbitMqPublisher::exchange("")
            .routing_key("k".repeat(256))
            .in_flight_max(0)
            .bytes_max(0)
            .confirm_timeout(Duration::ZERO)
            .close_timeout(Duration::ZERO);
        let problems = wrong.problems();
        let named: Vec<_> = problems.iter().map(Problem::option).collect();
        let all = [
            "exchange",
            "routing_key",
            "in_flight_max",
            "bytes_max",
            "confirm_timeout",
            "close_timeout",
        ];
        assert_eq!(named, all);
        let wrong = RabbitMqPublisher::queue("q")
            .uri(uri)
            .routing_key("k")
            .problems();
        assert_eq!(wrong[0].option(), "routing_key", "{wrong:?}");
        let wrong = RabbitMqPublisher::exchange("x".repeat(300))
            .routing_key("k".repeat(300))
            .problems();
        let said = format!("{wrong:?}");
        assert_eq!(said.matches("300 bytes").count(), 2, "{said}");
    }

    #[test]
    fn debug_shows_no_password() {
        let builder = RabbitMqPublisher::queue("q").uri("amqp://me:secret@localhost");
        assert!(!format!("{builder:?}").contains("secret"));
    }
}
