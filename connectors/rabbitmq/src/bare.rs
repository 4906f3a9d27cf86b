//! The client alone, in the loops that one writes with it: what our benchmark compares the connector with. Not part of the
//! public interface.

use std::collections::VecDeque;

use broadway_core::BoxError;
use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};

/// Deliveries that are acknowledged together.
const ACKED_TOGETHER: u64 = 100;

/// A queue that was made for a benchmark, and the loops over the client.
pub struct Bare {
    connection: Connection,
    queue: String,
}

impl Bare {
    /// Declares a classic queue that keeps nothing over a restart of the broker.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn create(uri: &str, queue: &str) -> Result<Self, BoxError> {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel
            .queue_declare(
                queue.into(),
                QueueDeclareOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let queue = queue.to_owned();
        Ok(Self { connection, queue })
    }

    /// Publishes `n` messages and awaits the oldest of so many unconfirmed.
    ///
    /// # Errors
    ///
    /// What the client says, or that the broker did not take one.
    pub async fn publish(&self, n: u64, payload: &[u8], window: usize) -> Result<(), BoxError> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let mut sent = VecDeque::with_capacity(window);
        for number in 0..n + window as u64 {
            if (sent.len() == window || number >= n)
                && let Some(oldest) = sent.pop_front()
            {
                confirmed(oldest).await?;
            }
            if number < n {
                let sending = channel.basic_publish(
                    "".into(),
                    self.queue.as_str().into(),
                    BasicPublishOptions::default(),
                    payload,
                    BasicProperties::default(),
                );
                sent.push_back(sending.await?);
            }
        }
        Ok(channel.close(200, "done".into()).await?)
    }

    /// Reads `n` messages, with so many unacknowledged at most, and acknowledges each hundred at once. `see` hears of each.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn read(&self, n: u64, prefetch: u16, mut see: impl FnMut()) -> Result<(), BoxError> {
        let channel = self.connection.create_channel().await?;
        let qos = BasicQosOptions::default();
        channel.basic_qos(prefetch, qos).await?;
        let mut consumer = channel
            .basic_consume(
                self.queue.as_str().into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        for number in 1..=n {
            let next = consumer.next().await.ok_or("the consumer has ended")?;
            let delivery = next?;
            see();
            if number % ACKED_TOGETHER == 0 || number == n {
                let all = BasicAckOptions { multiple: true };
                channel.basic_ack(delivery.delivery_tag, all).await?;
            }
        }
        // The answer comes behind the acknowledgements.
        self.rest(&channel).await?;
        Ok(channel.close(200, "done".into()).await?)
    }

    /// Removes the queue.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn delete(&self) -> Result<(), BoxError> {
        let channel = self.connection.create_channel().await?;
        let options = QueueDeleteOptions::default();
        channel
            .queue_delete(self.queue.as_str().into(), options)
            .await?;
        Ok(())
    }

    async fn rest(&self, channel: &Channel) -> Result<u32, BoxError> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel
            .queue_declare(self.queue.as_str().into(), options, FieldTable::default())
            .await?;
        Ok(queue.message_count())
    }
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

async fn confirmed(
    sent: impl Future<Output = lapin::Result<lapin::Confirmation>>,
) -> Result<(), BoxError> {
    if sent.await?.is_ack() {
        return Ok(());
    }
    Err("the broker did not take a message".into())
}
