//! What a hook after each connect can do: make exchanges, queues and bindings.

use broadway_core::BoxError;
use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions},
    types::{FieldTable, ShortString},
};

use crate::{declare::Declare, trouble::words};

/// A channel that has just been opened, in the hands of [`after_connect`](crate::RabbitMq::after_connect).
///
/// An operation that the broker refuses closes the channel, so an error is best returned.
#[derive(Clone)]
pub struct Setup {
    channel: Channel,
}

impl Setup {
    pub(crate) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Declares an exchange, durable, of the kind `direct`, `fanout`, `topic`, `headers` or one of a plugin's.
    ///
    /// # Errors
    ///
    /// When the broker refuses: it exists with another kind, for instance.
    pub async fn exchange(&self, name: &str, kind: &str) -> Result<(), BoxError> {
        let kind_of = match kind {
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
        let declared =
            self.channel
                .exchange_declare(short(name)?, kind_of, options, FieldTable::default());
        said("declare the exchange", name, declared.await)
    }

    /// Declares a queue.
    ///
    /// # Errors
    ///
    /// When the broker refuses: it exists with other properties, for instance.
    pub async fn queue(&self, name: &str, declare: &Declare) -> Result<(), BoxError> {
        let declared =
            self.channel
                .queue_declare(short(name)?, declare.options, declare.arguments.clone());
        said("declare the queue", name, declared.await)
    }

    /// Binds a queue to an exchange.
    ///
    /// # Errors
    ///
    /// When one of them is missing, or the broker refuses.
    pub async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), BoxError> {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let (from, key) = (short(exchange)?, short(routing_key)?);
        let bound = self
            .channel
            .queue_bind(short(queue)?, from, key, options, arguments);
        said("bind the queue", queue, bound.await)
    }

    /// Binds an exchange to another one, `source`, whose messages it then gets.
    ///
    /// # Errors
    ///
    /// When one of them is missing, or the broker refuses.
    pub async fn bind_exchange(
        &self,
        exchange: &str,
        source: &str,
        routing_key: &str,
    ) -> Result<(), BoxError> {
        let (options, arguments) = (ExchangeBindOptions::default(), FieldTable::default());
        let (from, key) = (short(source)?, short(routing_key)?);
        let bound = self
            .channel
            .exchange_bind(short(exchange)?, from, key, options, arguments);
        said("bind the exchange", exchange, bound.await)
    }
}

/// As AMQP carries names.
fn short(name: &str) -> Result<ShortString, BoxError> {
    Ok(ShortString::try_new(name)?)
}

fn said<T>(what: &str, name: &str, result: lapin::Result<T>) -> Result<(), BoxError> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the broker did not {what} {name:?}: {}", words(&error)).into()),
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").finish_non_exhaustive()
    }
}
