//! The options of a publisher, their checks, and opening it: [`RabbitMqPublisherBuilder`].

use std::{fmt, time::Duration};

use broadway_core::{BoxError, Checks, ConfigError, Deadline, Problem, connector::ConnectorError};
use lapin::{
    Connection, Error, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{RabbitMqPublisher, channels::Channels, convert::Converter, error::explain};
use crate::{
    connect::{ConnectOptions, OpenConnection},
    error::{NOT_FOUND, kind_of, reply_code},
    names::name_too_long,
};

/// RabbitMQ 4's default of `max_message_size`. RabbitMQ 3 has a larger one.
const BYTES_MAX_DEFAULT: usize = 16 * 1_024 * 1_024;
/// The largest value of `max_message_size` that RabbitMQ accepts.
const BYTES_LIMIT: usize = 512 * 1_024 * 1_024;
const IN_FLIGHT_LIMIT: usize = 1_000_000;

/// The options of a [`RabbitMqPublisher`]. Created by [`RabbitMqPublisher::exchange`] and [`RabbitMqPublisher::queue`].
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
#[must_use = "a publisher is opened by `open`"]
pub struct RabbitMqPublisherBuilder {
    connect_options: ConnectOptions,
    /// Empty for the default exchange, which routes to each queue by its name.
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

/// Options.
impl RabbitMqPublisherBuilder {
    pub(super) fn exchange(name: String) -> Self {
        Self {
            connect_options: ConnectOptions::new(),
            exchange: name,
            to_queue: false,
            routing_key: None,
            converter: Converter {
                routing_key: String::new(),
                persistent: true,
                bytes_max: BYTES_MAX_DEFAULT,
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

    /// The broker's address: `amqp://user:password@host:5672/vhost`, or `amqps://` for TLS. Defaults to
    /// `amqp://guest:guest@localhost:5672/%2f`.
    ///
    /// Percent-encode special characters: a `/` in the name of the vhost is `%2f`. Without a path the vhost is `/`. The parameters
    /// `heartbeat`, `frame_max`, `channel_max` and `auth_mechanism` are supported. Logs and errors do not contain the password.
    pub fn uri(mut self, uri: impl Into<String>) -> Self {
        self.connect_options.uri = uri.into();
        self
    }

    /// A certificate authority to trust for `amqps://`, in addition to the system's: the text of a PEM file, not its name. The
    /// server's certificate must name the host of the URI.
    pub fn ca_certificate(mut self, pem: impl Into<String>) -> Self {
        self.connect_options.ca_certificate = Some(pem.into());
        self
    }

    /// The name of the connection in RabbitMQ's management UI. Defaults to `broadway-publisher`.
    pub fn connection_name(mut self, name: impl Into<String>) -> Self {
        self.connect_options.connection_name = Some(name.into());
        self
    }

    /// The routing key of messages without one of their own ([`Outgoing::to`](broadway_core::Outgoing::to)), for an exchange. Defaults to
    /// an empty key, which a fanout exchange ignores.
    pub fn routing_key(mut self, key: impl Into<String>) -> Self {
        self.routing_key = Some(key.into());
        self
    }

    /// Whether messages survive a restart of the broker, in queues that do. Defaults to `true`.
    pub fn persistent(mut self, persistent: bool) -> Self {
        self.converter.persistent = persistent;
        self
    }

    /// Whether a message that is routed to no queue is refused. Otherwise the broker confirms such a message and drops it. The client
    /// logs a returned message, with its payload, as a warning with the target `lapin::returned_messages`. Defaults to `true`.
    pub fn mandatory(mut self, mandatory: bool) -> Self {
        self.mandatory = mandatory;
        self
    }

    /// Creates the queue or the exchange when the publisher is opened, if it does not exist: a durable classic queue, or a durable topic
    /// exchange. One that exists with other properties is used as it is; the client logs an error with the target `lapin` then. For
    /// development and tests.
    pub fn create_if_missing(mut self) -> Self {
        self.create_if_missing = true;
        self
    }

    /// The most unconfirmed messages of all callers together, from 1 to 1,000,000; further messages wait. Defaults to 1,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// The largest payload in bytes, from 1 to 512 MiB. Defaults to 16 MiB, RabbitMQ 4's default of `max_message_size`; RabbitMQ 3 accepts
    /// 128 MiB.
    ///
    /// A larger message is refused before it is sent, because the broker would close the channel over it and interrupt the call.
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.converter.bytes_max = bytes;
        self
    }

    /// Timeout of opening, and of each attempt to reconnect. [`Duration::MAX`] means no limit. Defaults to 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_options.connect_timeout = timeout;
        self
    }

    /// How long a message may be unconfirmed before it fails, how long a call waits for a lost connection to be replaced, and how long
    /// [`flush`](broadway_core::Publisher::flush) waits. [`Duration::MAX`] means no limit. Defaults to 30 s.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long closing waits for unconfirmed messages, and then for the broker to close the connection. [`Duration::MAX`] means no limit.
    /// Defaults to 10 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Heartbeat interval, in whole seconds, from 1 s to 1 h. The connection counts as lost after 2 to 2.5 intervals of silence. Defaults
    /// to the interval in the URI, else to 30 s. The broker may ask for a shorter one.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.connect_options.heartbeat = Some(interval);
        self
    }
}

/// Opening.
impl RabbitMqPublisherBuilder {
    /// Connects, and checks that the exchange or the queue exists.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] that lists all options that cannot work. Otherwise fails within `connect_timeout` with a
    /// [`ConnectorError`] that names the option:
    ///
    /// - [`Transient`](broadway_core::connector::ConnectorErrorKind::Transient) if no broker answers;
    /// - [`Auth`](broadway_core::connector::ConnectorErrorKind::Auth) if the broker rejects the user or the vhost, or the user lacks a permission;
    /// - [`Permanent`](broadway_core::connector::ConnectorErrorKind::Permanent) if the exchange or the queue does not exist.
    ///
    /// # Cancel safety
    ///
    /// If it is dropped before it completes, the connection is closed.
    pub async fn open(mut self) -> Result<RabbitMqPublisher, BoxError> {
        ConfigError::check("the RabbitMQ publisher", self.problems())?;
        if let Some(key) = self.routing_key.take() {
            self.converter.routing_key = key;
        }
        let name = &mut self.connect_options.connection_name;
        name.get_or_insert_with(|| "broadway-publisher".to_owned());
        let deadline = Deadline::after(self.connect_options.connect_timeout);
        let OpenConnection {
            connection,
            socket_guard,
            ..
        } = self.connect_options.connect().await?;
        match deadline.within(self.find_destination(&connection)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                // The broker answers, so the client can close the connection in good order.
                socket_guard.release();
                return Err(error.into());
            }
            None => return Err(self.find_timed_out().into()),
        }
        let channel_max = connection.configuration().channel_max();
        let channels = Channels::new(self.connect_options.clone(), connection, socket_guard);
        Ok(RabbitMqPublisher::new(self, channels, channel_max))
    }

    /// The exchange or the queue, for errors.
    pub(super) fn destination(&self) -> String {
        match &self.exchange[..] {
            "" => format!("queue `{}`", self.converter.routing_key),
            name => format!("exchange `{name}`"),
        }
    }

    /// Checks that the destination exists, or creates it.
    ///
    /// A passive declaration of a missing destination closes its channel, and the client logs an error about that. So a destination that
    /// may be created is declared actively first. Only if the broker refuses that, because the destination exists with other properties
    /// or the user may not create it, is it declared passively.
    async fn find_destination(&self, connection: &Connection) -> Result<(), ConnectorError> {
        let mut refused = None;
        if self.create_if_missing {
            match self.declare(connection, false).await {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some(error),
            }
        }
        let Err(error) = self.declare(connection, true).await else {
            return Ok(());
        };
        let (option, destination) = (self.option(), self.destination());
        let is_missing = reply_code(&error) == Some(NOT_FOUND);
        let (kind, text) = match &refused {
            Some(refused) if is_missing => (
                kind_of(refused),
                format!(
                    "`create_if_missing`: the {destination} does not exist and cannot be created: {}",
                    explain(refused)
                ),
            ),
            None if is_missing => (
                kind_of(&error),
                format!(
                    "the {destination} (option `{option}`) does not exist in the vhost of `uri` = {:?}: create it, or correct the name",
                    self.connect_options.shown_uri()
                ),
            ),
            _ => (
                kind_of(&error),
                format!(
                    "cannot access the {destination} (option `{option}`): {}",
                    explain(&error)
                ),
            ),
        };
        Err(ConnectorError::new(kind, text))
    }

    /// Declares the destination. A passive declaration checks that it exists and creates nothing.
    async fn declare(&self, connection: &Connection, passive: bool) -> Result<(), Error> {
        // A refusal closes the channel, so each declaration has one of its own.
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

    fn find_timed_out(&self) -> ConnectorError {
        ConnectorError::transient(format!(
            "the broker at `uri` = {:?} did not answer within {:?} (`connect_timeout`) whether the {} exists: check the broker's log",
            self.connect_options.shown_uri(),
            self.connect_options.connect_timeout,
            self.destination()
        ))
    }

    /// The options that cannot work.
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
            "is empty; name the exchange or the queue to publish to",
        );
        if let Some(problem) = name_too_long(name) {
            checks.add(self.option(), problem);
        }
        let routing_key = self.routing_key.as_deref();
        checks.require(
            routing_key.is_none() || !self.to_queue,
            "routing_key",
            "has no effect for a queue, whose routing key is its name; publish to an exchange, or remove the option",
        );
        if let Some(problem) = routing_key.and_then(name_too_long) {
            checks.add("routing_key", problem);
        }
        checks.within("in_flight_max", self.in_flight_max, 1..=IN_FLIGHT_LIMIT);
        checks.within("bytes_max", self.converter.bytes_max, 1..=BYTES_LIMIT);
        checks.timeout("confirm_timeout", self.confirm_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.into_problems()
    }
}

/// Without secrets.
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
            .field("bytes_max", &self.converter.bytes_max)
            .field("confirm_timeout", &self.confirm_timeout)
            .field("close_timeout", &self.close_timeout)
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
        let unlimited = RabbitMqPublisher::queue("q").uri(uri);
        let unlimited = unlimited
            .connect_timeout(Duration::MAX)
            .confirm_timeout(Duration::MAX)
            .close_timeout(Duration::MAX);
        assert!(unlimited.problems().is_empty());
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
        let text = format!("{wrong:?}");
        assert_eq!(text.matches("300 bytes").count(), 2, "{text}");
    }

    #[test]
    fn debug_shows_no_password() {
        let builder = RabbitMqPublisher::queue("q").uri("amqp://me:secret@localhost");
        assert!(!format!("{builder:?}").contains("secret"));
    }
}
