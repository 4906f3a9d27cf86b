//! [`Setup`]: declares exchanges, queues and bindings in the hook after each connect.

use broadway_core::{BoxError, connector::ConnectorError};
use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions},
    types::FieldTable,
};

use crate::{
    declare::Declare,
    error::{kind_of, reply_text},
    names::short_name,
};

/// A new channel, for the hook [`after_connect`](crate::RabbitMq::after_connect).
///
/// The broker closes the channel when it refuses an operation, so return the error: later operations would fail too.
#[derive(Clone)]
pub struct Setup {
    channel: Channel,
}

impl Setup {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Declares a durable exchange of the type `direct`, `fanout`, `topic`, `headers`, or of a type that a plugin adds.
    ///
    /// # Errors
    ///
    /// Fails if the broker refuses, for instance because the exchange exists with another type, or if the name is longer than 255 bytes.
    pub async fn exchange(&self, name: &str, kind: &str) -> Result<(), BoxError> {
        let exchange_kind = match kind {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            other => ExchangeKind::Custom(other.to_owned()),
        };
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let exchange = short_name("exchange", name)?;
        let declared =
            self.channel
                .exchange_declare(exchange, exchange_kind, options, FieldTable::default());
        check("declare the exchange", name, declared.await)
    }

    /// Declares a queue.
    ///
    /// # Errors
    ///
    /// Fails if the broker refuses, for instance because the queue exists with other properties, or if a name is longer than 255 bytes.
    pub async fn queue(&self, name: &str, declare: &Declare) -> Result<(), BoxError> {
        let queue = short_name("queue", name)?;
        if let [problem, ..] = declare.arguments.problems() {
            return Err(format!("the queue {name:?} {problem}").into());
        }
        let arguments = declare.arguments.table().clone();
        let declared = self
            .channel
            .queue_declare(queue, declare.options, arguments);
        check("declare the queue", name, declared.await)
    }

    /// Binds a queue to an exchange.
    ///
    /// # Errors
    ///
    /// Fails if one of them does not exist, if the broker refuses, or if a name is longer than 255 bytes.
    pub async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), BoxError> {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let to = short_name("queue", queue)?;
        let from = short_name("exchange", exchange)?;
        let key = short_name("routing key", routing_key)?;
        let bound = self.channel.queue_bind(to, from, key, options, arguments);
        check("bind the queue", queue, bound.await)
    }

    /// Binds an exchange to the exchange `source`, whose messages it then receives.
    ///
    /// # Errors
    ///
    /// Fails if one of them does not exist, if the broker refuses, or if a name is longer than 255 bytes.
    pub async fn bind_exchange(
        &self,
        exchange: &str,
        source: &str,
        routing_key: &str,
    ) -> Result<(), BoxError> {
        let (options, arguments) = (ExchangeBindOptions::default(), FieldTable::default());
        let to = short_name("exchange", exchange)?;
        let from = short_name("exchange", source)?;
        let key = short_name("routing key", routing_key)?;
        let bound = self
            .channel
            .exchange_bind(to, from, key, options, arguments);
        check("bind the exchange", exchange, bound.await)
    }
}

fn check<T>(step: &str, name: &str, result: lapin::Result<T>) -> Result<(), BoxError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => {
            let text = format!("the broker did not {step} {name:?}: {}", reply_text(&error));
            Err(ConnectorError::new(kind_of(&error), text).into())
        }
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}
