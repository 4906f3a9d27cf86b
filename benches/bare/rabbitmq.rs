//! The baseline for RabbitMQ: the loops that one writes with the client alone.

use std::collections::VecDeque;

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::FieldTable,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Deliveries that are acknowledged together.
const ACKED_TOGETHER: u64 = 100;

/// A queue for one round of a benchmark, and loops that use the client.
pub(super) struct RabbitMqBaseline {
    connection: Connection,
    queue: String,
}

impl RabbitMqBaseline {
    /// Declares a classic queue that is not durable.
    pub(super) async fn create(uri: &str, queue: &str) -> Result<Self, BoxError> {
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

    /// Publishes `n` messages, of which at most `window` are unconfirmed.
    pub(super) async fn publish(
        &self,
        n: u64,
        payload: &[u8],
        window: usize,
    ) -> Result<(), BoxError> {
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

    /// Reads `n` messages, acknowledges each hundred with one frame, and calls `on_message` for each message.
    pub(super) async fn read(
        &self,
        n: u64,
        prefetch: u16,
        mut on_message: impl FnMut(),
    ) -> Result<(), BoxError> {
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
            on_message();
            if number % ACKED_TOGETHER == 0 || number == n {
                let all = BasicAckOptions { multiple: true };
                channel.basic_ack(delivery.delivery_tag, all).await?;
            }
        }
        // The broker handles the frames of a channel in order: its answer means that it has the acknowledgements.
        self.ready(&channel).await?;
        Ok(channel.close(200, "done".into()).await?)
    }

    /// Deletes the queue.
    pub(super) async fn delete(&self) -> Result<(), BoxError> {
        let channel = self.connection.create_channel().await?;
        let options = QueueDeleteOptions::default();
        channel
            .queue_delete(self.queue.as_str().into(), options)
            .await?;
        Ok(())
    }

    /// The number of messages that are ready in the queue.
    async fn ready(&self, channel: &Channel) -> Result<u32, BoxError> {
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

async fn confirmed(
    sent: impl Future<Output = lapin::Result<lapin::Confirmation>>,
) -> Result<(), BoxError> {
    if sent.await?.is_ack() {
        return Ok(());
    }
    Err("the broker did not confirm a message".into())
}
