//! The client alone, in the loops that one writes with it: what our benchmark compares the connector with. Not part of the
//! public interface.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_sdk_sqs::{
    Client,
    types::{DeleteMessageBatchRequestEntry, Message, SendMessageBatchRequestEntry},
};
use broadway_core::{BoxError, Deadline};
use tokio::task::JoinSet;

use crate::connect::{Access, given};

/// Entries of a request, the most that SQS takes.
const REQUEST: usize = 10;

/// A queue at a stand-in of SQS, and the loops over its client.
pub struct Bare {
    client: Client,
    url: String,
}

impl Bare {
    /// Makes the queue of this URL, with credentials that nobody checks.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub async fn create(url: &str) -> Result<Self, BoxError> {
        let mut access = Access::new(url.to_owned());
        access.region = Some("elasticmq".to_owned());
        access.credentials = Some(given("test".to_owned(), "test".to_owned()));
        access.create_if_missing = true;
        let deadline = Deadline::after(access.connect_timeout);
        let client = access.connect(deadline).await?;
        access.find(&client, deadline).await?;
        let url = url.to_owned();
        Ok(Self { client, url })
    }

    /// Sends `n` messages, ten in a request, with so many requests at once.
    ///
    /// # Errors
    ///
    /// What the client says, or that an entry was refused.
    pub async fn publish(&self, n: u64, payload: &str, requests: usize) -> Result<(), BoxError> {
        let begun = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..requests {
            let (client, url, begun) = (self.client.clone(), self.url.clone(), begun.clone());
            let payload = payload.to_owned();
            tasks.spawn(async move {
                loop {
                    let from = begun.fetch_add(REQUEST as u64, Ordering::Relaxed);
                    let entries: Vec<_> = (from..n.min(from + REQUEST as u64))
                        .map(|number| entry(number, &payload))
                        .collect::<Result<_, _>>()?;
                    if entries.is_empty() {
                        return Ok::<(), BoxError>(());
                    }
                    let ask = client.send_message_batch().queue_url(&url);
                    let answer = ask.set_entries(Some(entries)).send().await?;
                    if !answer.failed.is_empty() {
                        return Err("an entry was refused".into());
                    }
                }
            });
        }
        all(tasks).await
    }

    /// Receives and deletes `n` messages, ten in a request, with so many polls at once. `see` hears how many came.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn read(
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
                    let ask = client.receive_message().queue_url(&url);
                    let ask = ask.max_number_of_messages(10).wait_time_seconds(1);
                    let messages = ask.send().await?.messages.unwrap_or_default();
                    if messages.is_empty() {
                        continue;
                    }
                    see(messages.len() as u64);
                    let count = messages.len() as u64;
                    let entries: Vec<_> = messages
                        .into_iter()
                        .enumerate()
                        .map(|(at, message)| delete(at, message))
                        .collect::<Result<_, _>>()?;
                    let ask = client.delete_message_batch().queue_url(&url);
                    ask.set_entries(Some(entries)).send().await?;
                    deleted.fetch_add(count, Ordering::Relaxed);
                }
                Ok::<(), BoxError>(())
            });
        }
        // The others may still wait for a queue that is empty: their last poll is no part of the work.
        while deleted.load(Ordering::Relaxed) < n {
            match tasks.join_next().await {
                Some(ended) => ended??,
                None => break,
            }
        }
        Ok(())
    }

    /// Removes the queue.
    ///
    /// # Errors
    ///
    /// What the client says.
    pub async fn delete(&self) -> Result<(), BoxError> {
        self.client
            .delete_queue()
            .queue_url(&self.url)
            .send()
            .await?;
        Ok(())
    }
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

fn entry(number: u64, payload: &str) -> Result<SendMessageBatchRequestEntry, BoxError> {
    let entry = SendMessageBatchRequestEntry::builder()
        .id(number.to_string())
        .message_body(payload);
    Ok(entry.build()?)
}

fn delete(at: usize, message: Message) -> Result<DeleteMessageBatchRequestEntry, BoxError> {
    let entry = DeleteMessageBatchRequestEntry::builder()
        .id(at.to_string())
        .set_receipt_handle(message.receipt_handle);
    Ok(entry.build()?)
}

async fn all(mut tasks: JoinSet<Result<(), BoxError>>) -> Result<(), BoxError> {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
