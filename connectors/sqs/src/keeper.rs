//! The keeper: the task that says to the queue what is due: which messages are done, which go back, which are still in work.
//!
//! It asks [`Shared::step`] what to do, starts a task for each request, and sleeps until the next is due or something
//! happens. Requests have limits of their own (`deletes_max`, and [`EXTENSIONS_MAX`]), apart from those of polls, so that
//! neither can keep the other waiting. It outlives its producer until the last of its messages is settled.

use std::sync::Arc;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use tokio::{task::JoinSet, time::sleep_until};

use crate::{
    leases::{Answer, Ending, Extension},
    outbox::{BATCH_MAX, Batch, Entry},
    shared::{Shared, now},
    trouble::{Trouble, jitter},
};

/// The most requests at once that extend visibilities.
pub(crate) const EXTENSIONS_MAX: usize = 4;

pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut requests = JoinSet::new();
    loop {
        while requests.try_join_next().is_some() {}
        let step = shared.step();
        if step.is_over {
            return;
        }
        for batch in step.batches {
            requests.spawn(say(shared.clone(), batch));
        }
        for extensions in step.extensions.chunks(BATCH_MAX) {
            requests.spawn(extend(shared.clone(), extensions.to_vec()));
        }
        let rung = shared.keeper.notified();
        match step.wake {
            None => rung.await,
            // Either way the next step looks at everything.
            Some(at) => tokio::select! {
                () = rung => {}
                () = sleep_until(at.into()) => {}
            },
        }
    }
}

/// Says what a batch of the outbox wants said, and deals with each of its entries.
async fn say(shared: Arc<Shared>, batch: Batch) {
    let n = batch.entries.len();
    let reply = if batch.is_delete {
        delete(&shared, &batch.entries).await
    } else {
        let entries = batch.entries.iter().map(|entry| {
            let Ending::Visible(seconds) = entry.parting.ending else {
                unreachable!("deletes have a line of their own");
            };
            (entry.parting.handle.as_str(), seconds)
        });
        change(&shared, entries).await
    };
    let is_lasting = matches!(reply, Reply::Trouble(Trouble::Lasting(_)));
    // One for all: what failed together shares a request again.
    let spread = jitter();
    let mut notes = Notes::default();
    shared.answered(|answered| {
        let now = answered.now;
        let outbox = answered.outbox(n);
        for (entry, fate) in batch.entries.into_iter().zip(reply.fates(n)) {
            match fate {
                Fate::Done => {}
                Fate::Refused(why) if is_lasting => notes.given_up.add(why),
                Fate::Refused(why) => notes.refused.add(why),
                Fate::Again(why) => match outbox.retry(entry, spread, now) {
                    None => notes.again.add(why),
                    Some(_) => notes.given_up.add(why),
                },
            }
        }
        answered.unconfirmed(notes.given_up.n);
    });
    notes.tell(&shared, batch.is_delete);
    if let (true, true, Some(why)) = (is_lasting, batch.is_delete, notes.given_up.why) {
        let url = &shared.source.access.url;
        let text = format!("the service refuses to delete from `queue` = {url:?}: {why}");
        shared.fail(text);
    }
}

/// Asks for more time for messages that are in work.
async fn extend(shared: Arc<Shared>, extensions: Vec<Extension>) {
    let sent = now();
    let entries = extensions
        .iter()
        .map(|extension| (extension.handle.as_str(), extension.seconds));
    let reply = change(&shared, entries).await;
    // A refusal of the whole request (a permission that is missing) says nothing of its messages: they are hidden still.
    let is_lasting = matches!(reply, Reply::Trouble(Trouble::Lasting(_)));
    let mut again = Note::default();
    let fates = reply.fates(extensions.len());
    shared.answered(|answered| {
        let now = answered.now;
        let (ledger, partings) = answered.ledger();
        for (extension, fate) in extensions.iter().zip(fates) {
            let answer = match fate {
                Fate::Done => Answer::Extended,
                Fate::Refused(_) if !is_lasting => Answer::Gone,
                Fate::Refused(why) | Fate::Again(why) => {
                    again.add(why);
                    Answer::Failed
                }
            };
            ledger.extended(extension, answer, (sent, now), partings);
        }
    });
    if let Some(why) = again.why {
        let n = again.n;
        shared.tell_trouble(&format!(
            "{n} messages could not be kept hidden, to be tried again: {why}"
        ));
    }
}

/// What the queue said to a request.
enum Reply {
    /// To each entry: what is in neither list was not answered.
    Each {
        done: Vec<String>,
        failed: Vec<BatchResultErrorEntry>,
    },
    Trouble(Trouble),
}

/// What became of one entry.
#[derive(Debug, Clone)]
enum Fate {
    Done,
    /// It is our fault, says the queue: a handle that it does not know any more. Again would be the same.
    Refused(String),
    /// Again may be better.
    Again(String),
}

impl Reply {
    /// Of each of the `n` entries. Their ids are their places.
    fn fates(self, n: usize) -> Vec<Fate> {
        let (done, failed) = match self {
            Self::Each { done, failed } => (done, failed),
            Self::Trouble(Trouble::Lasting(why)) => return vec![Fate::Refused(why); n],
            Self::Trouble(Trouble::Passing(why)) => return vec![Fate::Again(why); n],
        };
        let place = |id: &str| id.parse::<usize>().ok().filter(|place| *place < n);
        let mut fates = vec![Fate::Again("the answer does not name it".to_owned()); n];
        for id in done {
            if let Some(place) = place(&id) {
                fates[place] = Fate::Done;
            }
        }
        for entry in failed {
            let Some(place) = place(&entry.id) else {
                continue;
            };
            let why = match entry.message {
                Some(message) => format!("{}: {message}", entry.code),
                None => entry.code,
            };
            fates[place] = if entry.sender_fault {
                Fate::Refused(why)
            } else {
                Fate::Again(why)
            };
        }
        fates
    }
}

async fn delete(shared: &Shared, entries: &[Entry]) -> Reply {
    let entries = entries.iter().enumerate().map(|(place, entry)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(place.to_string())
            .receipt_handle(&entry.parting.handle)
            .build()
            .expect("id and handle are there")
    });
    let request = shared
        .acks
        .delete_message_batch()
        .queue_url(&shared.source.access.url)
        .set_entries(Some(entries.collect()));
    match request.send().await {
        Ok(answer) => Reply::Each {
            done: answer
                .successful
                .into_iter()
                .map(|entry| entry.id)
                .collect(),
            failed: answer.failed,
        },
        Err(error) => Reply::Trouble(Trouble::of(&error)),
    }
}

async fn change(shared: &Shared, entries: impl Iterator<Item = (&str, u32)>) -> Reply {
    let entries = entries.enumerate().map(|(place, (handle, seconds))| {
        ChangeMessageVisibilityBatchRequestEntry::builder()
            .id(place.to_string())
            .receipt_handle(handle)
            .visibility_timeout(i32::try_from(seconds).expect("12 hours at most"))
            .build()
            .expect("id and handle are there")
    });
    let request = shared
        .acks
        .change_message_visibility_batch()
        .queue_url(&shared.source.access.url)
        .set_entries(Some(entries.collect()));
    match request.send().await {
        Ok(answer) => Reply::Each {
            done: answer
                .successful
                .into_iter()
                .map(|entry| entry.id)
                .collect(),
            failed: answer.failed,
        },
        Err(error) => Reply::Trouble(Trouble::of(&error)),
    }
}

/// What is to be told of a request: how many entries, and why the first of them.
#[derive(Default)]
struct Notes {
    again: Note,
    refused: Note,
    given_up: Note,
}

#[derive(Default)]
struct Note {
    n: usize,
    why: Option<String>,
}

impl Note {
    fn add(&mut self, why: String) {
        self.n += 1;
        self.why.get_or_insert(why);
    }
}

impl Notes {
    fn tell(&self, shared: &Shared, is_delete: bool) {
        let what = if is_delete { "deletes" } else { "returns" };
        if let Note { n, why: Some(why) } = &self.again {
            shared.tell_trouble(&format!("{n} {what} failed, to be tried again: {why}"));
        }
        if let Note { n, why: Some(why) } = &self.given_up {
            let text = format!("{n} {what} were given up, their messages will come again: {why}");
            shared.tell_unconfirmed(&text);
        }
        let Note { n, why: Some(why) } = &self.refused else {
            return;
        };
        if is_delete {
            shared.tell_unconfirmed(&format!(
                "{n} deletes came too late, their messages have probably been delivered again: {why}"
            ));
        } else {
            // It is visible already, which is what was wanted.
            tracing::debug!(target: "broadway_sqs", n, why, "messages were not ours any more when they were given back");
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
    fn each_entry_of_an_answer_is_judged_by_itself() {
        let reply = Reply::Each {
            done: vec!["2".to_owned(), "nonsense".to_owned(), "9".to_owned()],
            failed: vec![failed("0", false), failed("1", true)],
        };
        let fates = reply.fates(4);
        assert!(matches!(&fates[0], Fate::Again(why) if why == "Oops"));
        assert!(matches!(&fates[1], Fate::Refused(_)));
        assert!(matches!(&fates[2], Fate::Done));
        assert!(matches!(&fates[3], Fate::Again(why) if why.contains("does not name")));
    }
}
