//! One request, made until each of its messages is taken, refused, or out of time.

use std::time::Duration;

use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    operation::send_message_batch::{SendMessageBatchError, SendMessageBatchOutput},
};
use broadway_core::{Deadline, PublishError};
use tokio::time::sleep;

use super::{
    Outcome, Shared,
    plan::{Prepared, Request},
};
use crate::trouble::{Trouble, jitter};

/// The pause before a request is made again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What became of a message in one request.
#[derive(Debug, Clone)]
enum Fate {
    Sent,
    Refused(String),
    /// Not taken, or not known to be; again may be better.
    Again(String),
}

/// Sends the messages of one request, again and again where that may help, and says what became of each.
pub(super) async fn send(shared: &Shared, request: Request) -> Vec<Outcome> {
    let deadline = Deadline::after(shared.confirm_timeout);
    let mut outcomes = Vec::with_capacity(request.len());
    // Usually one: those that are sent together. More when one of them spoils the request for the others.
    let mut waiting = vec![(request, 0)];
    while let Some((request, failures)) = waiting.pop() {
        let fates = match ask(shared, &request).await {
            Ok(answer) => of_answer(answer, request.len()),
            Err(error) if request.len() > 1 && is_about_one(&error) => {
                // In their order: the last of the stack comes first.
                waiting.extend(request.into_iter().rev().map(|message| (vec![message], 0)));
                continue;
            }
            Err(error) => match Trouble::of(&error) {
                Trouble::Lasting(why) => {
                    let why = format!("`queue` = {:?} does not take it: {why}", shared.url);
                    vec![Fate::Refused(why); request.len()]
                }
                Trouble::Passing(why) => vec![Fate::Again(why); request.len()],
            },
        };
        let pause = RETRY_FIRST.saturating_mul(1 << failures.min(16));
        let pause = pause
            .min(RETRY_MAX)
            .mul_f64(0.5 + jitter() as f64 / u64::MAX as f64 / 2.0);
        let may_wait = pause < deadline.remaining();
        let is_fifo = shared.rules.is_fifo;
        let again = divide(request, fates, (is_fifo, may_wait), &mut outcomes);
        if !again.is_empty() {
            sleep(pause).await;
            waiting.push((again, failures + 1));
        }
    }
    outcomes
}

async fn ask(
    shared: &Shared,
    request: &Request,
) -> Result<SendMessageBatchOutput, SdkError<SendMessageBatchError>> {
    let entries = request.iter().enumerate();
    let entries = entries.map(|(place, message)| message.entry.request(place));
    let _permit = shared.requests.acquire().await;
    shared
        .client
        .send_message_batch()
        .queue_url(&shared.url)
        .set_entries(Some(entries.collect()))
        .send()
        .await
}

/// Whether a message may be at fault for which the service refused all of them.
fn is_about_one(error: &SdkError<SendMessageBatchError>) -> bool {
    let code = error.code().unwrap_or_default();
    [
        "InvalidParameterValue",
        "InvalidMessageContents",
        "BatchRequestTooLong",
        "InvalidAttributeValue",
    ]
    .iter()
    .any(|about_one| code.ends_with(about_one))
}

fn of_answer(answer: SendMessageBatchOutput, n: usize) -> Vec<Fate> {
    let place = |id: &str| id.parse::<usize>().ok().filter(|place| *place < n);
    let mut fates = vec![Fate::Again("the answer does not name it".to_owned()); n];
    for sent in answer.successful {
        if let Some(place) = place(&sent.id) {
            fates[place] = Fate::Sent;
        }
    }
    for failed in answer.failed {
        let Some(place) = place(&failed.id) else {
            continue;
        };
        let why = match failed.message {
            Some(message) => format!("{}: {message}", failed.code),
            None => failed.code,
        };
        fates[place] = if failed.sender_fault {
            Fate::Refused(why)
        } else {
            Fate::Again(why)
        };
    }
    fates
}

/// Writes down what has come to its end, and gives back what is to be sent again.
fn divide(
    request: Request,
    fates: Vec<Fate>,
    (is_fifo, may_wait): (bool, bool),
    outcomes: &mut Vec<Outcome>,
) -> Vec<Prepared> {
    let mut again = Vec::new();
    let messages: Vec<_> = request.into_iter().zip(fates).collect();
    // The last message of each group that was taken: nothing before it may follow it now.
    let overtaken: Vec<bool> = (0..messages.len())
        .map(|n| {
            let group = &messages[n].0.entry.group;
            let later = &messages[n + 1..];
            is_fifo
                && later
                    .iter()
                    .any(|(other, fate)| other.entry.group == *group && matches!(fate, Fate::Sent))
        })
        .collect();
    for ((message, fate), is_overtaken) in messages.into_iter().zip(overtaken) {
        let result = match fate {
            Fate::Sent => Ok(()),
            Fate::Refused(why) => Err(PublishError::refused(why)),
            Fate::Again(why) if is_overtaken => Err(PublishError::unconfirmed(format!(
                "{why}; it was not sent again, as a later message of its group had been taken"
            ))),
            Fate::Again(_) if may_wait => {
                again.push(message);
                continue;
            }
            Fate::Again(why) => Err(PublishError::unconfirmed(format!(
                "{why}, until `confirm_timeout` was over"
            ))),
        };
        outcomes.push((message.place, result));
    }
    again
}
