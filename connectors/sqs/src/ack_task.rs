//! The ack task of a producer: it deletes messages, returns them to the queue, and extends their visibility.
//!
//! It calls [`SqsShared::next_step`] for what to do, spawns a task for each request, and sleeps until something is due or changes.
//! Its requests have limits of their own (`deletes_max`, and [`EXTENSION_REQUESTS_MAX`](crate::ack_queue::EXTENSION_REQUESTS_MAX)),
//! apart from the limits of polls, so that neither holds up the other. It outlives its producer until the last message is settled.

use std::sync::Arc;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use broadway_core::connector::{ConnectorError, ConnectorErrorKind, Jitter};
use tokio::{task::JoinSet, time::sleep_until};

use crate::{
    ack_queue::{AckEntry, AckRequest, ENTRIES_MAX},
    error::connector_error,
    leases::{AckAction, ExtensionOutcome, LeaseExtension},
    shared::{SqsShared, now},
};

/// Runs until the producer has finished and nothing is left to send.
///
/// # Cancel safety
///
/// When it is dropped, requests in flight are dropped too; their messages are delivered again unless the queue has applied them.
pub(crate) async fn run(shared: Arc<SqsShared>) {
    let mut requests = JoinSet::new();
    loop {
        while requests.try_join_next().is_some() {}
        let step = shared.next_step();
        if step.is_finished {
            return;
        }
        for request in step.requests {
            requests.spawn(send_acks(shared.clone(), request));
        }
        for extensions in step.extensions.chunks(ENTRIES_MAX) {
            requests.spawn(extend(shared.clone(), extensions.to_vec()));
        }
        // A wakeup between `next_step` and here is kept by the `Notify`, so none is missed.
        let changed = shared.ack_task_wakeup.notified();
        match step.wake_at {
            None => changed.await,
            // The next step checks everything, so it does not matter which of them woke the task.
            Some(at) => tokio::select! {
                () = changed => {}
                () = sleep_until(at.into()) => {}
            },
        }
    }
}

/// Sends a request of the ack queue, and handles the result of each of its entries.
async fn send_acks(shared: Arc<SqsShared>, request: AckRequest) {
    let n = request.entries.len();
    let response = if request.is_delete {
        delete(&shared, &request.entries).await
    } else {
        let entries = request.entries.iter().map(|entry| {
            let AckAction::VisibleAfter(seconds) = entry.ack.action else {
                unreachable!("deletes have requests of their own");
            };
            (entry.ack.handle.as_str(), seconds)
        });
        change_visibility(&shared, entries).await
    };
    let failure = response.failure();
    // One value for all entries, so that those that failed together share a request again.
    let jitter = Jitter::random();
    let mut report = FailureReport::default();
    shared.on_response(|update| {
        let now = update.now;
        let queue = update.ack_queue(n);
        for (entry, result) in request.entries.into_iter().zip(response.results(n)) {
            match result {
                EntryResult::Done => {}
                EntryResult::Rejected(reason) if failure.is_some() => report.given_up.add(reason),
                EntryResult::Rejected(reason) => report.rejected.add(reason),
                EntryResult::Retry(reason) => match queue.retry(entry, jitter, now) {
                    None => report.retried.add(reason),
                    Some(_) => report.given_up.add(reason),
                },
            }
        }
        update.add_unconfirmed(report.given_up.n);
    });
    report.emit(&shared, request.is_delete);
    if let (Some(kind), true, Some(reason)) = (failure, request.is_delete, report.given_up.reason) {
        let url = &shared.source.access.url;
        let text = format!("the service rejects deletes from `queue` = {url:?}: {reason}");
        shared.fail(ConnectorError::new(kind, text));
    }
}

/// Requests more time for messages that are still unsettled.
async fn extend(shared: Arc<SqsShared>, extensions: Vec<LeaseExtension>) {
    let sent = now();
    let entries = extensions
        .iter()
        .map(|extension| (extension.handle.as_str(), extension.seconds));
    let response = change_visibility(&shared, entries).await;
    // A whole request that is rejected (a missing permission) does not mean that its messages are lost: they are still hidden.
    let is_request_rejected = response.failure().is_some();
    let mut failed = FailureCount::default();
    let results = response.results(extensions.len());
    shared.on_response(|update| {
        let now = update.now;
        let (unsettled, acks) = update.extensions();
        for (extension, result) in extensions.iter().zip(results) {
            let outcome = match result {
                EntryResult::Done => ExtensionOutcome::Extended,
                EntryResult::Rejected(_) if !is_request_rejected => ExtensionOutcome::NotOwned,
                EntryResult::Rejected(reason) | EntryResult::Retry(reason) => {
                    failed.add(reason);
                    ExtensionOutcome::Failed
                }
            };
            unsettled.extended(extension, outcome, (sent, now), acks);
        }
    });
    if let Some(reason) = failed.reason {
        let n = failed.n;
        shared.report_source_error(&format!(
            "could not extend the visibility of {n} messages, retrying: {reason}"
        ));
    }
}

/// The response to a batch request.
enum BatchResponse {
    /// Entries in neither list were not answered.
    Entries {
        done: Vec<String>,
        failed: Vec<BatchResultErrorEntry>,
    },
    Error(ConnectorError),
}

/// The result of one entry.
#[derive(Debug, Clone)]
enum EntryResult {
    Done,
    /// The queue rejects the entry, for instance since the receipt handle has expired. Another attempt would fail too.
    Rejected(String),
    /// Another attempt may succeed.
    Retry(String),
}

impl BatchResponse {
    /// The kind of the error, if the whole request failed and another attempt would fail too.
    fn failure(&self) -> Option<ConnectorErrorKind> {
        match self {
            Self::Error(error) if !error.is_transient() => Some(error.kind()),
            Self::Error(_) | Self::Entries { .. } => None,
        }
    }

    /// The result of each of the `n` entries. Their ids are their indices.
    fn results(self, n: usize) -> Vec<EntryResult> {
        let (done, failed) = match self {
            Self::Entries { done, failed } => (done, failed),
            Self::Error(error) if error.is_transient() => {
                return vec![EntryResult::Retry(error.to_string()); n];
            }
            Self::Error(error) => return vec![EntryResult::Rejected(error.to_string()); n],
        };
        let index = |id: &str| id.parse::<usize>().ok().filter(|index| *index < n);
        let missing = EntryResult::Retry("the response does not contain the entry".to_owned());
        let mut results = vec![missing; n];
        for id in done {
            if let Some(index) = index(&id) {
                results[index] = EntryResult::Done;
            }
        }
        for entry in failed {
            let Some(index) = index(&entry.id) else {
                continue;
            };
            let reason = match entry.message {
                Some(message) => format!("{}: {message}", entry.code),
                None => entry.code,
            };
            results[index] = if entry.sender_fault {
                EntryResult::Rejected(reason)
            } else {
                EntryResult::Retry(reason)
            };
        }
        results
    }
}

async fn delete(shared: &SqsShared, entries: &[AckEntry]) -> BatchResponse {
    let entries = entries.iter().enumerate().map(|(index, entry)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(&entry.ack.handle)
            .build()
            .expect("id and handle are set")
    });
    let request = shared
        .ack_client
        .delete_message_batch()
        .queue_url(&shared.source.access.url)
        .set_entries(Some(entries.collect()));
    match request.send().await {
        Ok(response) => BatchResponse::Entries {
            done: response
                .successful
                .into_iter()
                .map(|entry| entry.id)
                .collect(),
            failed: response.failed,
        },
        Err(error) => BatchResponse::Error(connector_error(&error)),
    }
}

async fn change_visibility(
    shared: &SqsShared,
    entries: impl Iterator<Item = (&str, u32)>,
) -> BatchResponse {
    let entries = entries.enumerate().map(|(index, (handle, seconds))| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(handle)
            .visibility_timeout(i32::try_from(seconds).expect("12 hours at most"))
            .build()
            .expect("id and handle are set")
    });
    let request = shared
        .ack_client
        .change_message_visibility_batch()
        .queue_url(&shared.source.access.url)
        .set_entries(Some(entries.collect()));
    match request.send().await {
        Ok(response) => BatchResponse::Entries {
            done: response
                .successful
                .into_iter()
                .map(|entry| entry.id)
                .collect(),
            failed: response.failed,
        },
        Err(error) => BatchResponse::Error(connector_error(&error)),
    }
}

/// The report about a request: how many entries failed, and why the first of them did.
#[derive(Default)]
struct FailureReport {
    retried: FailureCount,
    rejected: FailureCount,
    given_up: FailureCount,
}

#[derive(Default)]
struct FailureCount {
    n: usize,
    reason: Option<String>,
}

impl FailureCount {
    fn add(&mut self, reason: String) {
        self.n += 1;
        self.reason.get_or_insert(reason);
    }

    fn first(&self) -> Option<(usize, &str)> {
        Some((self.n, self.reason.as_deref()?))
    }
}

impl FailureReport {
    fn emit(&self, shared: &SqsShared, is_delete: bool) {
        let what = if is_delete { "deletes" } else { "returns" };
        if let Some((n, reason)) = self.retried.first() {
            shared.report_source_error(&format!("{n} {what} failed, retrying: {reason}"));
        }
        if let Some((n, reason)) = self.given_up.first() {
            shared.report_commit_failed(&format!(
                "{n} {what} were given up; their messages will be delivered again: {reason}"
            ));
        }
        let Some((n, reason)) = self.rejected.first() else {
            return;
        };
        if is_delete {
            shared.report_commit_failed(&format!(
                "{n} deletes were too late; their messages have probably been delivered again: {reason}"
            ));
        } else {
            // The messages are visible already, as intended.
            tracing::debug!(target: "broadway_sqs", n, reason, "returned messages whose leases had expired");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that fails says where")]

    use super::*;

    fn failed(id: &str, sender_fault: bool) -> BatchResultErrorEntry {
        BatchResultErrorEntry::builder()
            .id(id)
            .sender_fault(sender_fault)
            .code("Oops")
            .build()
            .unwrap()
    }

    #[test]
    fn each_entry_of_a_response_has_its_own_result() {
        let response = BatchResponse::Entries {
            done: vec!["2".to_owned(), "nonsense".to_owned(), "9".to_owned()],
            failed: vec![failed("0", false), failed("1", true)],
        };
        let results = response.results(4);
        assert!(matches!(&results[0], EntryResult::Retry(reason) if reason == "Oops"));
        assert!(matches!(&results[1], EntryResult::Rejected(_)));
        assert!(matches!(&results[2], EntryResult::Done));
        assert!(
            matches!(&results[3], EntryResult::Retry(reason) if reason.contains("does not contain"))
        );
    }
}
