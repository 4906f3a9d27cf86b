//! Sends one request until each of its messages is accepted, rejected, or out of time.

use std::time::Duration;

use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    operation::send_message_batch::{SendMessageBatchError, SendMessageBatchOutput},
};
use broadway_core::{
    Deadline, PublishError,
    connector::{Backoff, Jitter},
};
use tokio::time::sleep;

use super::{
    IndexedResult, SqsPublisherShared,
    requests::{IndexedMessage, SendRequest},
};
use crate::error::connector_error;

/// The pause before messages are sent again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The result of a message in one attempt.
#[derive(Debug, Clone)]
enum SendResult {
    Accepted,
    Rejected(String),
    /// Not accepted, or not known to be; another attempt may succeed.
    Retry(String),
}

/// Sends the messages of one request, with retries, and returns the result of each.
pub(super) async fn send(shared: &SqsPublisherShared, request: SendRequest) -> Vec<IndexedResult> {
    let deadline = Deadline::after(shared.confirm_timeout);
    let mut results = Vec::with_capacity(request.len());
    // Usually one request. More if one of its messages makes the service reject them all.
    let mut waiting = vec![(request, 0)];
    while let Some((request, failures)) = waiting.pop() {
        let attempts = match attempt(shared, &request).await {
            Ok(response) => entry_results(response, request.len()),
            Err(error) if request.len() > 1 && may_be_one_message(&error) => {
                // In reverse, since the stack returns the last one first: messages keep their order.
                waiting.extend(request.into_iter().rev().map(|message| (vec![message], 0)));
                continue;
            }
            Err(error) => {
                let error = connector_error(&error);
                let result = if error.is_transient() {
                    SendResult::Retry(error.to_string())
                } else {
                    SendResult::Rejected(format!("`queue` = {:?} rejects it: {error}", shared.url))
                };
                vec![result; request.len()]
            }
        };
        // Decided for the whole request: a message is retried only if its next attempt begins before the deadline.
        let pause = RETRY.pause(failures, Jitter::random());
        let may_retry = pause < deadline.remaining();
        let is_fifo = shared.rules.is_fifo;
        let retries = sort_out(request, attempts, (is_fifo, may_retry), &mut results);
        if !retries.is_empty() {
            sleep(pause).await;
            waiting.push((retries, failures + 1));
        }
    }
    results
}

async fn attempt(
    shared: &SqsPublisherShared,
    request: &SendRequest,
) -> Result<SendMessageBatchOutput, SdkError<SendMessageBatchError>> {
    let entries = request.iter().enumerate();
    let entries = entries.map(|(index, indexed)| indexed.message.entry(index));
    // For this attempt only, not for pauses between attempts: others use the connection meanwhile.
    let _permit = shared.requests.acquire().await;
    shared
        .client
        .send_message_batch()
        .queue_url(&shared.url)
        .set_entries(Some(entries.collect()))
        .send()
        .await
}

/// Whether the service may have rejected the whole request because of one message.
fn may_be_one_message(error: &SdkError<SendMessageBatchError>) -> bool {
    let code = error.code().unwrap_or_default();
    [
        "InvalidParameterValue",
        "InvalidMessageContents",
        "BatchRequestTooLong",
        "InvalidAttributeValue",
    ]
    .iter()
    .any(|suffix| code.ends_with(suffix))
}

fn entry_results(response: SendMessageBatchOutput, n: usize) -> Vec<SendResult> {
    let index = |id: &str| id.parse::<usize>().ok().filter(|index| *index < n);
    let missing = SendResult::Retry("the response does not contain the message".to_owned());
    let mut results = vec![missing; n];
    for sent in response.successful {
        if let Some(index) = index(&sent.id) {
            results[index] = SendResult::Accepted;
        }
    }
    for failed in response.failed {
        let Some(index) = index(&failed.id) else {
            continue;
        };
        let reason = match failed.message {
            Some(message) => format!("{}: {message}", failed.code),
            None => failed.code,
        };
        results[index] = if failed.sender_fault {
            SendResult::Rejected(reason)
        } else {
            SendResult::Retry(reason)
        };
    }
    results
}

/// Appends final results, and returns the messages to send again.
fn sort_out(
    request: SendRequest,
    attempts: Vec<SendResult>,
    (is_fifo, may_retry): (bool, bool),
    results: &mut Vec<IndexedResult>,
) -> Vec<IndexedMessage> {
    let mut retries = Vec::new();
    let attempted: Vec<_> = request.into_iter().zip(attempts).collect();
    // Whether a later message of the same group was accepted. Sending this one again would put it behind that one.
    let overtaken: Vec<bool> = (0..attempted.len())
        .map(|n| {
            let group = &attempted[n].0.message.group;
            let later = &attempted[n + 1..];
            is_fifo
                && later.iter().any(|(other, result)| {
                    other.message.group == *group && matches!(result, SendResult::Accepted)
                })
        })
        .collect();
    for ((indexed, attempt), is_overtaken) in attempted.into_iter().zip(overtaken) {
        let result = match attempt {
            SendResult::Accepted => Ok(()),
            SendResult::Rejected(reason) => Err(PublishError::refused(reason)),
            SendResult::Retry(reason) if is_overtaken => Err(PublishError::unconfirmed(format!(
                "{reason}; it was not sent again, since a later message of its group had been accepted"
            ))),
            SendResult::Retry(_) if may_retry => {
                retries.push(indexed);
                continue;
            }
            SendResult::Retry(reason) => Err(PublishError::unconfirmed(format!(
                "{reason}; retried until `confirm_timeout`"
            ))),
        };
        results.push((indexed.index, result));
    }
    retries
}
