//! The loops that one writes with the SDK alone: what the benchmark compares the connector with.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry},
};
use tokio::task::JoinSet;

use crate::BoxError;

/// Entries of a request, a limit of SQS.
const ENTRIES_MAX: usize = 10;

/// A queue at an emulator, and loops over its client.
pub(crate) struct SqsBaseline {
    client: Client,
    url: String,
}

impl SqsBaseline {
    /// Creates a queue with this name, at an emulator that does not check credentials.
    pub(crate) async fn create(endpoint: &str, name: &str) -> Result<Self, BoxError> {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("elasticmq"))
            .credentials_provider(Credentials::new("test", "test", None, None, "benchmark"))
            .endpoint_url(endpoint)
            .build();
        let client = Client::from_conf(config);
        client.create_queue().queue_name(name).send().await?;
        let url = format!("{endpoint}/000000000000/{name}");
        Ok(Self { client, url })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends `n` messages, ten in a request, with this number of concurrent requests.
    pub(crate) async fn publish(
        &self,
        n: u64,
        payload: &str,
        requests: usize,
    ) -> Result<(), BoxError> {
        let begun = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..requests {
            let (client, url, begun) = (self.client.clone(), self.url.clone(), begun.clone());
            let payload = payload.to_owned();
            tasks.spawn(async move {
                loop {
                    let from = begun.fetch_add(ENTRIES_MAX as u64, Ordering::Relaxed);
                    let entries: Vec<_> = (from..n.min(from + ENTRIES_MAX as u64))
                        .map(|number| entry(number, &payload))
                        .collect::<Result<_, _>>()?;
                    if entries.is_empty() {
                        return Ok::<(), BoxError>(());
                    }
                    let request = client.send_message_batch().queue_url(&url);
                    let response = request.set_entries(Some(entries)).send().await?;
                    if !response.failed.is_empty() {
                        return Err("an entry was refused".into());
                    }
                }
            });
        }
        all(tasks).await
    }

    /// Receives and deletes `n` messages, ten in a request, with this number of concurrent polls. Calls `see` with the number of
    /// messages of each response.
    pub(crate) async fn read(
        &self,
        n: u64,
        polls: usize,
        see: impl Fn(u64) + Clone + Send + 'static,
    ) -> Result<(), BoxError> {
        let deleted = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..polls {
            let (client, url, deleted) = (self.client.clone(), self.url.clone(), deleted.clone());
            let see = see.clone();
            tasks.spawn(async move {
                while deleted.load(Ordering::Relaxed) < n {
                    let request = client.receive_message().queue_url(&url);
                    let request = request.max_number_of_messages(10).wait_time_seconds(1);
                    let messages = request.send().await?.messages.unwrap_or_default();
                    if messages.is_empty() {
                        continue;
                    }
                    see(messages.len() as u64);
                    let count = messages.len() as u64;
                    let entries: Vec<_> = messages
                        .into_iter()
                        .enumerate()
                        .map(|(index, message)| delete(index, message))
                        .collect::<Result<_, _>>()?;
                    let request = client.delete_message_batch().queue_url(&url);
                    request.set_entries(Some(entries)).send().await?;
                    deleted.fetch_add(count, Ordering::Relaxed);
                }
                Ok::<(), BoxError>(())
            });
        }
        // Other polls may still wait at the empty queue; they are not part of the work.
        while deleted.load(Ordering::Relaxed) < n {
            match tasks.join_next().await {
                Some(ended) => ended??,
                None => break,
            }
        }
        Ok(())
    }

    /// Deletes the queue.
    pub(crate) async fn delete(&self) -> Result<(), BoxError> {
        self.client
            .delete_queue()
            .queue_url(&self.url)
            .send()
            .await?;
        Ok(())
    }
}

fn entry(number: u64, payload: &str) -> Result<SendMessageBatchRequestEntry, BoxError> {
    let entry = SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(payload);
    Ok(entry.build()?)
}

fn delete(index: usize, message: Message) -> Result<DeleteMessageBatchRequestEntry, BoxError> {
    let entry = DeleteMessageBatchRequestEntry::builder()
        .id(index.to_string())
        .set_receipt_handle(message.receipt_handle);
    Ok(entry.build()?)
}

async fn all(mut tasks: JoinSet<Result<(), BoxError>>) -> Result<(), BoxError> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
