//! What a hook after each connect can do: make exchanges, queues and bindings.

use broadway_core::BoxError;
use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions},
    types::FieldTable,
};

use crate::{declare::Declare, error::words, names::short};

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
    /// When the broker refuses, as it does when it exists with another kind; when the name is longer than 255 bytes.
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
        let short_name = short("exchange", name)?;
        let declared =
            self.channel
                .exchange_declare(short_name, kind_of, options, FieldTable::default());
        said("declare the exchange", name, declared.await)
    }

    /// Declares a queue.
    ///
    /// # Errors
    ///
    /// When the broker refuses, as it does when it exists with other properties; when a name is longer than 255 bytes.
    pub async fn queue(&self, name: &str, declare: &Declare) -> Result<(), BoxError> {
        let short_name = short("queue", name)?;
        if let [problem, ..] = declare.arguments.problems() {
            return Err(format!("the queue {name:?} {problem}").into());
        }
        let arguments = declare.arguments.table().clone();
        let declared = self
            .channel
            .queue_declare(short_name, declare.options, arguments);
        said("declare the queue", name, declared.await)
    }

    /// Binds a queue to an exchange.
    ///
    /// # Errors
    ///
    /// When one of them is missing, or the broker refuses; when a name is longer than 255 bytes.
    pub async fn bind(
        &self,
        queue: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<(), BoxError> {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let to = short("queue", queue)?;
        let from = short("exchange", exchange)?;
        let key = short("routing key", routing_key)?;
        let bound = self.channel.queue_bind(to, from, key, options, arguments);
        said("bind the queue", queue, bound.await)
    }

    /// Binds an exchange to another one, `source`, whose messages it then gets.
    ///
    /// # Errors
    ///
    /// When one of them is missing, or the broker refuses; when a name is longer than 255 bytes.
    pub async fn bind_exchange(
        &self,
        exchange: &str,
        source: &str,
        routing_key: &str,
    ) -> Result<(), BoxError> {
        let (options, arguments) = (ExchangeBindOptions::default(), FieldTable::default());
        let to = short("exchange", exchange)?;
        let from = short("exchange", source)?;
        let key = short("routing key", routing_key)?;
        let bound = self
            .channel
            .exchange_bind(to, from, key, options, arguments);
        said("bind the exchange", exchange, bound.await)
    }
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
