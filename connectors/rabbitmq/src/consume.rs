//! The way to a consumer: a connection, a channel, and what is set up on it, in this order: hook, declare, bind, qos, consume.

use std::{sync::Arc, time::Duration};

use broadway_core::Deadline;
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
        ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, RESOURCE_LOCKED, Trouble, code, is_lasting,
        words,
    },
    setup::Setup,
    wire::MendedDeliveries,
};

/// What a user needs at the broker for each step, besides those that need nothing.
const DECLARE: &str = "`configure` for the queue, and for one with dead letters `read` for it and `write` for their exchange";
const BIND: &str = "`write` for the queue and `read` for the exchange";
const CONSUME: &str = "`read` for the queue";

/// A consumer, and what it lives on.
pub(crate) struct OpenConsumer {
    pub(crate) connection: Connection,
    pub(crate) channel: Channel,
    pub(crate) consumer: Consumer,
    /// The name of the queue, also where the broker chose it.
    pub(crate) queue: Arc<str>,
    /// Deliveries that the client could not have parsed.
    pub(crate) mended: Arc<MendedDeliveries>,
    /// On which the broker is asked how many messages wait.
    pub(crate) queue_depth: Option<Channel>,
}

/// What is set up on a connection.
struct SetUp {
    channel: Channel,
    consumer: Consumer,
    queue: Arc<str>,
    queue_depth: Option<Channel>,
}

impl RabbitMq {
    /// Opens a consumer. In a stream it begins at `resume`, if that is given.
    pub(crate) async fn connect(
        &self,
        window: u16,
        resume: Option<u64>,
    ) -> Result<OpenConsumer, Trouble> {
        // One limit for connecting and setting up.
        let deadline = Deadline::after(self.connect_options.connect_timeout);
        let OpenConnection {
            connection,
            socket_guard,
            mended,
        } = self.connect_options.connect().await?;
        match deadline.within(self.set_up(&connection, window, resume)).await {
            Some(set_up) => {
                // It answers: so where it has refused something, it is told good-bye.
                socket_guard.release();
                let SetUp {
                    channel,
                    consumer,
                    queue,
                    queue_depth,
                } = set_up?;
                Ok(OpenConsumer {
                    connection,
                    channel,
                    consumer,
                    queue,
                    mended,
                    queue_depth,
                })
            }
            None => Err(Trouble::Passing(
                format!(
                    "the broker at `uri` = {:?} did not set up the consumer of `queue` = {:?} within {:?} (`connect_timeout`)",
                    self.connect_options.shown(),
                    self.queue,
                    self.connect_options.connect_timeout
                )
                .into(),
            )),
        }
    }

    async fn set_up(
        &self,
        connection: &Connection,
        window: u16,
        resume: Option<u64>,
    ) -> Result<SetUp, Trouble> {
        // Before the consumer begins to fill the connection. The length of a stream is not its lag.
        let asks = self.lag_interval < Duration::MAX && !self.is_stream();
        let queue_depth = match asks {
            true => connection.create_channel().await.ok(),
            false => None,
        };
        let channel = connection.create_channel().await;
        let channel = channel.map_err(|error| self.refused("open a channel", "", &error))?;
        if let Some(hook) = &self.after_connect {
            hook(Setup::new(channel.clone())).await.map_err(|error| {
                Trouble::Passing(format!("the hook `after_connect` failed: {error}").into())
            })?;
        }
        let queue = self.declare_queue(&channel).await?;
        for (exchange, routing_key) in &self.bindings {
            let (exchange, key) = (exchange.as_str().into(), routing_key.as_str().into());
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel
                .queue_bind(queue.clone(), exchange, key, options, arguments)
                .await
                .map_err(|error| self.refused("bind the queue (`bind`)", BIND, &error))?;
        }
        channel
            .basic_qos(window, BasicQosOptions::default())
            .await
            .map_err(|error| self.refused("set `prefetch`", "", &error))?;
        let consumer = self.consume(&channel, queue.clone(), resume).await?;
        Ok(SetUp {
            channel,
            consumer,
            queue: Arc::from(queue.as_str()),
            queue_depth,
        })
    }

    async fn declare_queue(&self, channel: &Channel) -> Result<ShortString, Trouble> {
        let name = ShortString::from(self.queue.as_str());
        let Some(declare) = &self.declare else {
            return Ok(name);
        };
        let arguments = declare.arguments.table().clone();
        let declared = channel.queue_declare(name, declare.options, arguments);
        match declared.await {
            Ok(queue) => Ok(queue.name().clone()),
            Err(error) => Err(self.refused("declare the queue (`declare`)", DECLARE, &error)),
        }
    }

    async fn consume(
        &self,
        channel: &Channel,
        queue: ShortString,
        resume: Option<u64>,
    ) -> Result<Consumer, Trouble> {
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
            .map_err(|error| self.refused("let us read the queue", CONSUME, &error))
    }

    /// What the broker said when it was asked for something that takes this permission, and what to do.
    fn refused(&self, what: &str, permission: &str, error: &Error) -> Trouble {
        let grant;
        let advice = match code(error) {
            Some(NOT_FOUND) => {
                "; create what is missing, or use `declare` for the queue and `after_connect` for exchanges"
            }
            Some(ACCESS_REFUSED) if is_lasting(error) => {
                grant = format!("; grant the user the permission {permission}");
                &grant
            }
            Some(ACCESS_REFUSED | RESOURCE_LOCKED) => "; somebody else holds it exclusively",
            Some(PRECONDITION_FAILED) => {
                "; it exists with other properties: declare it so, or delete it"
            }
            _ => "",
        };
        let text = format!(
            "the broker at `uri` = {:?} did not {what}, `queue` = {:?}: {}{advice}",
            self.connect_options.shown(),
            self.queue,
            words(error)
        );
        if is_lasting(error) {
            Trouble::Lasting(text.into())
        } else {
            Trouble::Passing(text.into())
        }
    }
}
