//! Opens a consumer: a connection, a channel, then hook, declare, bind, qos and consume, in this order.

use std::{sync::Arc, time::Duration};

use broadway_core::{
    Deadline,
    connector::{ConnectorError, ConnectorErrorKind},
};
use lapin::{
    Channel, Connection, Consumer, Error,
    options::{BasicConsumeOptions, BasicQosOptions, QueueBindOptions},
    types::{FieldTable, ShortString},
};

use crate::{
    config::RabbitMq,
    connect::OpenConnection,
    declare::StreamOffset,
    error::{
        ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED, kind_of, reply_code,
        reply_text,
    },
    setup::Setup,
    wire::MendedDeliveries,
};

/// The permissions that a step needs.
const DECLARE: &str = "`configure` for the queue, and, for a queue with a dead-letter exchange, `read` for the queue and `write` for that exchange";
const BIND: &str = "`write` for the queue and `read` for the exchange";
const CONSUME: &str = "`read` for the queue";

/// A consumer, with the connection and the channels that belong to it.
pub(crate) struct OpenConsumer {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
    pub(crate) consumer: Consumer,
    /// The name of the queue; the broker chose it if the option is empty.
    pub(crate) queue: Arc<str>,
    /// The deliveries that the client could not have parsed.
    pub(crate) mended: Arc<MendedDeliveries>,
    /// The channel on which the broker is asked how many messages are ready.
    pub(crate) depth_channel: Option<Channel>,
}

/// Why a consumer was not opened. The step matters for a reconnect: a broker that is starting up may reject every user and vhost for a
/// while, but once it has accepted a connection, a permission that it denies is missing.
#[derive(Debug)]
pub(crate) enum OpenConsumerError {
    Connect(ConnectorError),
    SetUp(ConnectorError),
}

impl From<OpenConsumerError> for ConnectorError {
    fn from(error: OpenConsumerError) -> Self {
        match error {
            OpenConsumerError::Connect(error) | OpenConsumerError::SetUp(error) => error,
        }
    }
}

/// The parts of a consumer that are set up on a connection.
struct ConsumerChannel {
    channel: Channel,
    consumer: Consumer,
    queue: Arc<str>,
    depth_channel: Option<Channel>,
}

impl RabbitMq {
    /// Opens a consumer within `connect_timeout`. A stream is read from the offset `resume`, if given.
    pub(crate) async fn open_consumer(
        &self,
        window: u16,
        resume: Option<u64>,
    ) -> Result<OpenConsumer, OpenConsumerError> {
        // One deadline for connecting and for setting up.
        let deadline = Deadline::after(self.connect_options.connect_timeout);
        let connected = self.connect_options.connect().await;
        let OpenConnection {
            connection,
            socket_guard,
            mended,
        } = connected.map_err(OpenConsumerError::Connect)?;
        let Some(set_up) = deadline
            .within(self.set_up(&connection, window, resume))
            .await
        else {
            // Dropping the guard shuts the socket down: a broker that does not answer would not answer a close either.
            drop(socket_guard);
            return Err(OpenConsumerError::SetUp(self.set_up_timed_out()));
        };
        // The broker answers, so even after an error the client can close the connection in good order.
        socket_guard.release();
        let ConsumerChannel {
            channel,
            consumer,
            queue,
            depth_channel,
        } = set_up.map_err(OpenConsumerError::SetUp)?;
        Ok(OpenConsumer {
            connection,
            channel,
            consumer,
            queue,
            mended,
            depth_channel,
        })
    }

    async fn set_up(
        &self,
        connection: &Connection,
        window: u16,
        resume: Option<u64>,
    ) -> Result<ConsumerChannel, ConnectorError> {
        // Opened before the consumer, whose deliveries would delay the reply. The length of a stream is not its lag.
        let asks_depth = self.lag_interval < Duration::MAX && !self.is_stream();
        let depth_channel = match asks_depth {
            true => connection.create_channel().await.ok(),
            false => None,
        };
        let channel = connection.create_channel().await;
        let channel = channel.map_err(|error| self.set_up_error("open a channel", "", &error))?;
        if let Some(hook) = &self.after_connect {
            hook(Setup::new(channel.clone())).await.map_err(|error| {
                ConnectorError::transient(format!("the hook `after_connect` failed: {error}"))
            })?;
        }
        let queue = self.declare_queue(&channel).await?;
        for (exchange, routing_key) in &self.bindings {
            let (exchange, key) = (exchange.as_str().into(), routing_key.as_str().into());
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel
                .queue_bind(queue.clone(), exchange, key, options, arguments)
                .await
                .map_err(|error| self.set_up_error("bind the queue (`bind`)", BIND, &error))?;
        }
        // Applies to consumers that are started after it.
        channel
            .basic_qos(window, BasicQosOptions::default())
            .await
            .map_err(|error| self.set_up_error("set `prefetch`", "", &error))?;
        let consumer = self.consume(&channel, queue.clone(), resume).await?;
        Ok(ConsumerChannel {
            channel,
            consumer,
            queue: Arc::from(queue.as_str()),
            depth_channel,
        })
    }

    async fn declare_queue(&self, channel: &Channel) -> Result<ShortString, ConnectorError> {
        let name = ShortString::from(self.queue.as_str());
        let Some(declare) = &self.declare else {
            return Ok(name);
        };
        let arguments = declare.arguments.table().clone();
        let declared = channel.queue_declare(name, declare.options, arguments);
        match declared.await {
            Ok(queue) => Ok(queue.name().clone()),
            Err(error) => Err(self.set_up_error("declare the queue (`declare`)", DECLARE, &error)),
        }
    }

    async fn consume(
        &self,
        channel: &Channel,
        queue: ShortString,
        resume: Option<u64>,
    ) -> Result<Consumer, ConnectorError> {
        let options = BasicConsumeOptions {
            exclusive: self.exclusive,
            ..BasicConsumeOptions::default()
        };
        let mut arguments = self.consumer_arguments.table().clone();
        if let Some(offset) = resume.map(StreamOffset::At).or(self.stream_offset) {
            arguments.insert("x-stream-offset".into(), offset.argument());
        }
        let tag = self.consumer_tag.as_str().into();
        channel
            .basic_consume(queue, tag, options, arguments)
            .await
            .map_err(|error| self.set_up_error("let this client read the queue", CONSUME, &error))
    }

    /// The error of a step that needs `permission`, with what to do.
    fn set_up_error(&self, step: &str, permission: &str, error: &Error) -> ConnectorError {
        let kind = kind_of(error);
        let reply = reply_text(error);
        if reply_code(error) == Some(NOT_FOUND) && reply.contains("no queue") {
            let text = format!(
                "the queue `{}` (option `queue`) does not exist in the vhost of `uri` = {:?}: create it (`declare` does), or correct the name",
                self.queue,
                self.connect_options.shown_uri(),
            );
            return ConnectorError::new(kind, text);
        }
        let grant;
        let help = match reply_code(error) {
            Some(NOT_FOUND) => "; create it (the hook `after_connect` can), or correct the name",
            Some(ACCESS_REFUSED) if kind == ConnectorErrorKind::Auth => {
                grant = format!("; grant the user the permission {permission}");
                &grant
            }
            Some(ACCESS_REFUSED | RESOURCE_LOCKED) => {
                "; another connection or consumer has exclusive access to it"
            }
            Some(PRECONDITION_FAILED) => {
                "; it exists with other properties: declare it with those, or delete it"
            }
            _ => "",
        };
        let text = format!(
            "the broker at `uri` = {:?} did not {step}, `queue` = {:?}: {reply}{help}",
            self.connect_options.shown_uri(),
            self.queue,
        );
        ConnectorError::new(kind, text)
    }

    fn set_up_timed_out(&self) -> ConnectorError {
        ConnectorError::transient(format!(
            "the broker at `uri` = {:?} did not start the consumer of `queue` = {:?} within {:?} (`connect_timeout`): check the broker's log",
            self.connect_options.shown_uri(),
            self.queue,
            self.connect_options.connect_timeout
        ))
    }
}
