//! The worker: reads for sources, moves delayed records and dead letters, rebalances, and looks after leases and retention.

mod delayed;
mod fill;

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

pub(crate) use self::delayed::delayed_write;
use self::{delayed::Look, fill::Found};
use super::{
    StoreInner,
    commit::{AppendError, Done, Request},
    retention,
};
use crate::{
    block::{EncodedRecords, StoredRecord},
    clock::timestamp,
    group::{Ended, Lease, Offered, Partition},
    log::PartitionLog,
    publisher::convert,
    record::QueueRecord,
};
use broadway_core::{Callback, Reason, dead_letter::DeadLetter, telemetry::Event};

/// How often leases, revocations and retention are looked at.
const TICK: Duration = Duration::from_secs(1);
/// The same while a partition changes its owner, which a settlement reports, but not a timeout.
const SHORT_TICK: Duration = Duration::from_millis(50);
/// When a dead letter that could not be written is tried again.
const DEAD_LETTER_PAUSE: u64 = 1_000;

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Job {
    /// Read for a partition.
    Fill(Arc<Partition>),
    /// Read these records again, which are leased.
    Again(Arc<Partition>, Vec<Offered>),
    /// Move a record to the dead letters.
    DeadLetter(Arc<Partition>, Lease, Option<Reason>),
    /// Look at the revocations of this group of a topic.
    Rebalance(String, String),
    /// Records were delayed, perhaps to an earlier time than any before.
    Delayed,
    /// The commit that moved delayed records has ended, well or not.
    DelayedMoved(bool),
}

/// Jobs that wait for the worker.
#[derive(Debug, Default)]
pub(crate) struct Work {
    jobs: Mutex<VecDeque<Job>>,
    changed: Condvar,
}

impl Work {
    pub(crate) fn push(&self, job: Job) {
        self.lock().push_back(job);
        self.changed.notify_one();
    }

    pub(crate) fn wake(&self) {
        drop(self.lock());
        self.changed.notify_one();
    }

    fn next(&self, until: Instant, is_closing: impl Fn() -> bool) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if is_closing() {
                return None;
            }
            if let Some(job) = jobs.pop_front() {
                return Some(job);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let waited = self.changed.wait_timeout(jobs, left);
            jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works until the store closes.
pub(super) fn run(store: &StoreInner) {
    let mut tick_at = Instant::now() + TICK;
    let mut look = delayed::move_due(store);
    while !store.is_closing() {
        let until = match look {
            Look::At(at) => at.min(tick_at),
            Look::Later | Look::Moved => tick_at,
        };
        match store.work.next(until, || store.is_closing()) {
            Some(Job::Fill(partition)) => fill::fill(store, &partition),
            Some(Job::Again(partition, due)) => fill::deliver_again(store, &partition, due),
            Some(Job::DeadLetter(partition, lease, reason)) => {
                dead_letter(store, &partition, lease, reason);
            }
            Some(Job::Rebalance(topic, group)) => {
                let groups = store.find_topic(&topic).map(|topic| topic.groups_in_use());
                for found in groups
                    .into_iter()
                    .flatten()
                    .filter(|found| found.name == group)
                {
                    found.finish_revocations(store);
                }
            }
            Some(Job::Delayed) if look != Look::Moved => look = Look::At(Instant::now()),
            Some(Job::Delayed) => {}
            Some(Job::DelayedMoved(true)) => look = Look::At(Instant::now()),
            Some(Job::DelayedMoved(false)) => look = Look::At(Instant::now() + delayed::PAUSE),
            None => {}
        }
        let now = Instant::now();
        if matches!(look, Look::At(at) if at <= now) {
            look = delayed::move_due(store);
        }
        if tick_at <= now {
            tick_at = now + tick(store);
        }
    }
}

/// Does the jobs that wait now, in place of the thread. Moves no dead letters, which wait for a commit.
#[cfg(test)]
pub(super) fn work_now(store: &StoreInner) {
    while let Some(job) = store.work.next(Instant::now(), || false) {
        match job {
            Job::Fill(partition) => fill::fill(store, &partition),
            job => panic!("{job:?} is not expected"),
        }
    }
}

/// Does what no event reports. Returns when it is due again.
fn tick(store: &StoreInner) -> Duration {
    let mut is_rebalancing = false;
    for topic in store.topics() {
        for group in topic.groups_in_use() {
            group.finish_revocations(store);
            is_rebalancing |= group.has_revocations();
            group.expire_leases(store);
        }
    }
    retention::delete_old(store);
    match is_rebalancing {
        true => SHORT_TICK,
        false => TICK,
    }
}

/// Appends a record that failed too often to the topic of dead letters, and settles it once that is done: a crash in between repeats it.
fn dead_letter(
    store: &StoreInner,
    partition: &Arc<Partition>,
    lease: Lease,
    reason: Option<Reason>,
) {
    let Some(topic) = &partition.settings.dead_letter_topic else {
        return;
    };
    let letter = match fill::read_one(store, partition, lease.offset) {
        Ok(Found::Record(record)) => letter(store, partition, lease, reason, record, topic),
        Ok(Found::Deleted) => return partition.settle_moved(lease, store),
        Ok(Found::Corrupt) => return fill::corrupt_again(store, partition, lease),
        Err(error) => Err(error),
    };
    let moved = Arc::clone(partition);
    let done = move |store: &StoreInner, result: Result<(), AppendError>| match result {
        Ok(()) => moved.settle_moved(lease, store),
        Err(error) => not_moved(store, &moved, lease, &error.to_string()),
    };
    match letter {
        Ok((log, records)) => store.inbox.push(Request::Write {
            writes: Vec::new(),
            appends: vec![(log, records)],
            done: Done::new(done),
        }),
        Err(error) => not_moved(store, partition, lease, &error),
    }
}

fn not_moved(store: &StoreInner, partition: &Partition, lease: Lease, error: &str) {
    let topic = partition
        .settings
        .dead_letter_topic
        .as_deref()
        .unwrap_or_default();
    let text = format!(
        "{}@{} cannot be moved to the topic {topic:?}: {error}; it is tried again in 1 s",
        partition.log.name(),
        lease.offset
    );
    report(partition, &text);
    let ended = Ended::Unmoved {
        after: DEAD_LETTER_PAUSE,
    };
    partition.give_back(lease, ended, store);
}

/// The dead letter, and the partition that it goes to.
fn letter(
    store: &StoreInner,
    partition: &Partition,
    lease: Lease,
    reason: Option<Reason>,
    record: StoredRecord,
    topic: &str,
) -> Result<(Arc<PartitionLog>, EncodedRecords), String> {
    let attempts = match &reason {
        Some(_) => lease.delivery,
        None => lease.delivery.saturating_sub(1),
    };
    let reason = reason.unwrap_or_else(|| {
        let text = format!("it was delivered {attempts} times, and the last time without a result: the process or its lease ended");
        Reason::error(Callback::HandleMessage, text)
    });
    let record = QueueRecord::new(&partition.log, lease, record);
    let letter = DeadLetter::new(&reason).attempts(attempts).of(&record);
    let target = store
        .topic(topic, None)
        .map_err(|error| error.to_string())?;
    let mut records = EncodedRecords::default();
    convert::encode(&letter, timestamp(SystemTime::now()), &mut records)?;
    let key = letter.message_key().map(|key| &key[..]);
    let number = target.route(None, key).map_err(|error| error.to_string())?;
    let log = target.log(number).ok_or("the partition is not open")?;
    Ok((log, records))
}

/// Reports a problem that the queue goes on from.
fn report(partition: &Partition, text: &str) {
    if let Some(owner) = partition.owner() {
        owner
            .emitter
            .emit(&Event::source_error(owner.producer, text));
    }
}

/// Reports a problem of no partition.
fn report_store(store: &StoreInner, text: &str) {
    tracing::error!(folder = %store.folder.path.display(), "{text}");
}
