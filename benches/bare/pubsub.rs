//! The client alone, in the loops that one writes with it: what our benchmark compares the connector with. Not part of the
//! public interface.

use std::{collections::VecDeque, time::Duration};

use broadway_core::BoxError;
use bytes::Bytes;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::{
    client::{Publisher, Subscriber, SubscriptionAdmin, TopicAdmin},
    model::Message,
};

/// A topic with a subscription at an emulator, and the loops over the client.
pub struct Bare {
    endpoint: String,
    topic: String,
    subscription: String,
}

impl Bare {
    /// Makes topic and subscription.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn create(endpoint: &str, topic: &str, subscription: &str) -> Result<Self, BoxError> {
        let bare = Self {
            endpoint: endpoint.to_owned(),
            topic: topic.to_owned(),
            subscription: subscription.to_owned(),
        };
        let topics = bare.topics().await?.create_topic();
        topics.set_name(topic).send().await?;
        let subscriptions = bare.subscriptions().await?.create_subscription();
        let wanted = subscriptions.set_name(subscription).set_topic(topic);
        wanted.set_ack_deadline_seconds(60).send().await?;
        Ok(bare)
    }

    /// Publishes `n` messages and awaits the oldest of so many unconfirmed.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn publish(
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

    /// Reads and acknowledges `n` messages from one stream, with so many outstanding. `see` hears of each.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn read(
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
        // Shutting down sends what is acknowledged.
        let shutdown = stream.shutdown_token();
        drop(stream);
        shutdown.shutdown().await;
        Ok(())
    }

    /// Removes subscription and topic.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn delete(&self) -> Result<(), BoxError> {
        let subscriptions = self.subscriptions().await?.delete_subscription();
        let ask = subscriptions.set_subscription(&self.subscription);
        ask.send().await?;
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

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare")
            .field("topic", &self.topic)
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

async fn confirmed<T, E: Into<BoxError>>(
    sent: impl Future<Output = Result<T, E>>,
) -> Result<(), BoxError> {
    sent.await.map(drop).map_err(Into::into)
}
