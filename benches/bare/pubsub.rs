//! The loops that one writes with the client alone: what the benchmark compares the connector with.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::{
    client::{Publisher, Subscriber, SubscriptionAdmin, TopicAdmin},
    model::Message,
};

use crate::BoxError;

/// A topic with a subscription at an emulator, and loops over the client.
pub(crate) struct PubSubBaseline {
    endpoint: String,
    topic: String,
    subscription: String,
}

impl PubSubBaseline {
    /// Creates topic and subscription.
    pub(crate) async fn create(
        endpoint: &str,
        topic: &str,
        subscription: &str,
    ) -> Result<Self, BoxError> {
        let baseline = Self {
            endpoint: endpoint.to_owned(),
            topic: topic.to_owned(),
            subscription: subscription.to_owned(),
        };
        let topics = baseline.topics().await?.create_topic();
        topics.set_name(topic).send().await?;
        let subscriptions = baseline.subscriptions().await?.create_subscription();
        let wanted = subscriptions.set_name(subscription).set_topic(topic);
        wanted.set_ack_deadline_seconds(60).send().await?;
        Ok(baseline)
    }

    /// Publishes `n` messages, with at most `window` unconfirmed.
    pub(crate) async fn publish(
        &self,
        n: u64,
        payload: &'static [u8],
        window: usize,
    ) -> Result<(), BoxError> {
        let publisher = Publisher::builder(&self.topic)
            .with_endpoint(&self.endpoint)
            .with_credentials(anonymous::Builder::new().build())
            .build()
            .await?;
        let mut sent = VecDeque::with_capacity(window);
        for _ in 0..n {
            if sent.len() == window
                && let Some(oldest) = sent.pop_front()
            {
                confirmed(oldest).await?;
            }
            let message = Message::new().set_data(Bytes::from_static(payload));
            sent.push_back(publisher.publish(message));
        }
        publisher.flush().await;
        for rest in sent {
            confirmed(rest).await?;
        }
        Ok(())
    }

    /// Reads and acknowledges `n` messages from one stream, with at most `outstanding` unacknowledged. Calls `see` for each.
    pub(crate) async fn read(
        &self,
        n: u64,
        outstanding: usize,
        mut see: impl FnMut(),
    ) -> Result<(), BoxError> {
        let subscriber = Subscriber::builder()
            .with_endpoint(&self.endpoint)
            .with_credentials(anonymous::Builder::new().build())
            .build()
            .await?;
        let mut stream = subscriber
            .subscribe(&self.subscription)
            .set_max_outstanding_messages(i64::try_from(outstanding)?)
            .set_max_lease(Duration::from_secs(3_600))
            .build();
        for _ in 0..n {
            let next = stream.next().await.ok_or("the stream has ended")?;
            let (_message, handler) = next?;
            see();
            handler.ack();
        }
        // The shutdown sends the last acknowledgements.
        let shutdown = stream.shutdown_token();
        drop(stream);
        shutdown.shutdown().await;
        Ok(())
    }

    /// Deletes subscription and topic.
    pub(crate) async fn delete(&self) -> Result<(), BoxError> {
        let subscriptions = self.subscriptions().await?.delete_subscription();
        let request = subscriptions.set_subscription(&self.subscription);
        request.send().await?;
        let topics = self.topics().await?.delete_topic();
        topics.set_topic(&self.topic).send().await?;
        Ok(())
    }

    async fn topics(&self) -> Result<TopicAdmin, BoxError> {
        let builder = TopicAdmin::builder().with_endpoint(&self.endpoint);
        let builder = builder.with_credentials(anonymous::Builder::new().build());
        Ok(builder.build().await?)
    }

    async fn subscriptions(&self) -> Result<SubscriptionAdmin, BoxError> {
        let builder = SubscriptionAdmin::builder().with_endpoint(&self.endpoint);
        let builder = builder.with_credentials(anonymous::Builder::new().build());
        Ok(builder.build().await?)
    }
}

async fn confirmed<T, E: Into<BoxError>>(
    sent: impl Future<Output = Result<T, E>>,
) -> Result<(), BoxError> {
    sent.await.map(drop).map_err(Into::into)
}
