//! The commit thread: one commit for all callers that wait, with one `fsync`.
//!
//! While a commit is under way, further requests gather, so the slower the device, the more share a commit: no timer holds a lone caller up.

mod gathered;
mod inbox;

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use self::gathered::Gathered;
pub(crate) use self::inbox::{Append, AppendError, Appended, Done, Inbox, Request};

use super::{Meta, OpenStorage, StoreInner, worker::Job};
use crate::{
    block::EncodedRecords,
    folder::Durability,
    group::{Partition, Snapshot},
    log::PartitionLog,
    storage::{StorageError, Sync, Write},
};

/// How long messages wait for space before the store is opened again, to free its journals.
const SHORT_PAUSE: Duration = Duration::from_secs(3);
/// How often a full device is looked at.
const FULL_PAUSE: Duration = Duration::from_millis(200);

/// Commits until the store closes.
pub(super) fn run(store: &StoreInner) {
    let mut committer = Committer {
        store,
        acks_at: None,
        sync_at: None,
        short_of_space: None,
    };
    loop {
        let until = committer.wake_at();
        let is_woken = || store.is_closing() || (committer.acks_at.is_none() && store.has_dirty());
        let mut requests = store.inbox.take(until, is_woken);
        if store.has_dirty() && committer.acks_at.is_none() {
            committer.acks_at = Some(Instant::now() + store.folder.ack_interval);
        }
        if requests.is_empty() && store.is_closing() {
            committer.close();
            return;
        }
        if store.failure().is_some() && !committer.recover(&mut requests) {
            // Requests that are kept are looked at again soon.
            if store.is_full() && !store.is_closing() {
                store.inbox.pause(FULL_PAUSE);
            }
            continue;
        }
        committer.wait_for_space(&mut requests);
        committer.commit(requests);
    }
}

/// Commits the waiting requests now, in place of the thread; with acknowledgements if `with_acks`.
#[cfg(test)]
pub(super) fn commit_now(store: &StoreInner, with_acks: bool) {
    let mut committer = Committer {
        store,
        acks_at: with_acks.then(Instant::now),
        sync_at: None,
        short_of_space: None,
    };
    let mut requests = store.inbox.take(Some(Instant::now()), || true);
    if store.failure().is_none() || committer.recover(&mut requests) {
        committer.commit(requests);
    }
}

struct Committer<'a> {
    store: &'a StoreInner,
    /// When acknowledgements are written, if there are some.
    acks_at: Option<Instant>,
    /// When earlier writes must be on the device.
    sync_at: Option<Instant>,
    /// When little space made messages wait first, and when the store was last opened again for that.
    short_of_space: Option<Instant>,
}

/// One commit while it is put together.
#[derive(Default)]
struct Commit {
    writes: Vec<Write>,
    /// The logs that are appended to.
    logs: Vec<Arc<PartitionLog>>,
    appends: Vec<(oneshot::Sender<Appended>, u64)>,
    delays: Vec<oneshot::Sender<Result<(), AppendError>>>,
    others: Vec<Done>,
    snapshots: Vec<(Arc<Partition>, Snapshot)>,
    must_sync: bool,
}

impl Committer<'_> {
    fn wake_at(&self) -> Option<Instant> {
        if self.store.failure().is_some() {
            return Some(Instant::now() + FULL_PAUSE);
        }
        self.acks_at.into_iter().chain(self.sync_at).min()
    }

    /// Commits the requests, and acknowledgements if they are due.
    fn commit(&mut self, requests: Vec<Request>) {
        let store = self.store;
        let mut commit = Commit::default();
        let open = store.storage();
        let gathered = commit.gather(store, &open, requests);
        let now = Instant::now();
        if commit.must_sync || self.acks_at.is_some_and(|at| at <= now) {
            self.acks_at = None;
            commit.add_acks(store, &open);
        }
        let sync = match store.folder.durability {
            Durability::Synced => Sync::Synced,
            Durability::Interval(_) | Durability::Unsynced if commit.must_sync => Sync::Synced,
            Durability::Interval(interval) => {
                if self.sync_at.is_none() && !commit.writes.is_empty() {
                    self.sync_at = Some(now + interval);
                }
                match self.sync_at.is_some_and(|at| at <= now) {
                    true => Sync::Synced,
                    false => Sync::Buffered,
                }
            }
            Durability::Unsynced => Sync::Buffered,
        };
        let is_due = sync == Sync::Synced && self.sync_at.is_some();
        let is_empty = commit.writes.is_empty() && commit.others.is_empty();
        if is_empty && gathered.is_ok() && !is_due {
            return;
        }
        if sync == Sync::Synced {
            self.sync_at = None;
        }
        let writes = mem::take(&mut commit.writes);
        let committed = gathered.and_then(|()| open.storage.commit(writes, sync));
        drop(open);
        match committed {
            Ok(()) => commit.succeeded(store),
            Err(error) => commit.failed(store, error),
        }
    }

    /// If the store failed, refuses the waiting requests. If it failed because the device was full, keeps them, and opens the store again
    /// once there is room. Returns whether the store is open.
    fn recover(&mut self, requests: &mut Vec<Request>) -> bool {
        let store = self.store;
        let text = match &*store.failure() {
            Some(StorageError::Full(_)) => None,
            Some(error) => Some(error.to_string()),
            None => return true,
        };
        let Some(text) = text else {
            let is_closing = store.is_closing();
            let has_space = store.free_space() > store.folder.free_space_min.max(1 << 20);
            if has_space && store.reopen().is_ok() {
                return true;
            }
            match is_closing {
                true => refuse(store, mem::take(requests), &AppendError::Closed),
                false => put_back(store, mem::take(requests)),
            }
            return false;
        };
        refuse(store, mem::take(requests), &AppendError::Failed(text));
        false
    }

    /// While little space is left, appends go back into the inbox. Acknowledgements go on.
    fn wait_for_space(&mut self, requests: &mut Vec<Request>) {
        let store = self.store;
        let min = store.folder.free_space_min;
        let appends = Request::is_publishing;
        if min == 0 || !requests.iter().any(appends) {
            return;
        }
        if store.free_space() >= min {
            self.short_of_space = None;
            return;
        }
        self.free_journals();
        let (waiting, others): (Vec<_>, Vec<_>) =
            mem::take(requests).into_iter().partition(appends);
        *requests = others;
        if store.is_closing() {
            return refuse(store, waiting, &AppendError::Closed);
        }
        // Callers that gave up are gone.
        let wanted = |request: &Request| match request {
            Request::Append(append) => !append.done.is_closed(),
            Request::Delay { done, .. } => !done.is_closed(),
            _ => true,
        };
        put_back(store, waiting.into_iter().filter(wanted).collect());
        if requests.is_empty() {
            store.inbox.pause(FULL_PAUSE);
        }
    }

    /// Opens the store again if messages have waited for space for a while: that writes its journals to tables, and deletes them with the segments
    /// that are no longer kept.
    fn free_journals(&mut self) {
        let now = Instant::now();
        let since = *self.short_of_space.get_or_insert(now);
        if now.duration_since(since) < SHORT_PAUSE {
            return;
        }
        self.short_of_space = Some(now);
        if let Err(error) = self.store.reopen() {
            // Opened again when there is space.
            *self.store.failure() = Some(StorageError::Full(error.to_string()));
        }
    }

    /// Writes the acknowledgements that are left.
    fn close(&mut self) {
        let store = self.store;
        if store.failure().is_some() {
            return;
        }
        let mut commit = Commit::default();
        let open = store.storage();
        commit.add_acks(store, &open);
        let writes = mem::take(&mut commit.writes);
        let committed = open.storage.commit(writes, Sync::Synced);
        drop(open);
        match committed {
            Ok(()) => commit.succeeded(store),
            Err(error) => commit.failed(store, error),
        }
    }
}

impl Commit {
    fn gather(
        &mut self,
        store: &StoreInner,
        open: &OpenStorage,
        requests: Vec<Request>,
    ) -> Result<(), StorageError> {
        // Records of one partition share blocks, in the order of the requests.
        let mut blocks: Vec<Gathered> = Vec::new();
        let mut result = Ok(());
        let mut add = |log: &Arc<PartitionLog>, records: &EncodedRecords, this: &mut Self| {
            let known = blocks.iter().position(|known| Arc::ptr_eq(&known.log, log));
            let index = known.unwrap_or_else(|| {
                blocks.push(Gathered::new(Arc::clone(log)));
                blocks.len() - 1
            });
            blocks[index].add(records, this, store, open)
        };
        for request in requests {
            match request {
                Request::Append(append) if append.done.is_closed() => {}
                Request::Append(append) => match add(&append.log, &append.records, self) {
                    Ok(first) => self.appends.push((append.done, first)),
                    Err(error) => {
                        result = Err(error);
                        self.appends.push((append.done, 0));
                    }
                },
                Request::Delay { done, .. } if done.is_closed() => {}
                Request::Delay { writes, done } => {
                    self.writes.extend(writes);
                    self.delays.push(done);
                }
                Request::Write {
                    writes,
                    appends,
                    done,
                } => {
                    for (log, records) in &appends {
                        result = result.and(add(log, records, self).map(|_| ()));
                    }
                    self.writes.extend(writes);
                    self.others.push(done);
                }
                Request::Flush(done) => {
                    self.must_sync = true;
                    self.others.push(done);
                }
            }
        }
        for mut gathered in blocks {
            result = result.and(gathered.finish(self, store, open));
            self.logs.push(gathered.log);
        }
        result
    }

    fn add_acks(&mut self, store: &StoreInner, open: &OpenStorage) {
        for partition in store.take_dirty() {
            // Before the snapshot: a later settlement marks the partition again.
            partition.is_dirty.store(false, Ordering::Release);
            let snapshot = partition.snapshot();
            // Everything that was delivered is in the snapshot of a partition that no member reads; the mark is ahead of it.
            if partition.owner().is_none() {
                let log = &partition.log;
                let forget = Meta(open).forget_begun(&log.topic, &partition.group, log.partition);
                self.writes.push(forget);
            }
            let log = &partition.log;
            let write = Meta(open).group(&log.topic, &partition.group, log.partition, &snapshot);
            self.writes.push(write);
            self.snapshots.push((partition, snapshot));
        }
    }

    fn succeeded(self, store: &StoreInner) {
        for log in &self.logs {
            log.publish();
            if let Some(topic) = store.find_topic(&log.topic) {
                for group in topic.groups_in_use() {
                    group.appended(log.partition, store);
                }
            }
        }
        // All of them, before a group is released with its last member: its next user begins with these.
        for (partition, snapshot) in &self.snapshots {
            if let Some(topic) = store.find_topic(&partition.log.topic) {
                topic.stored(&partition.group, partition.log.partition, snapshot.clone());
            }
        }
        for (partition, snapshot) in self.snapshots {
            partition.written(store, snapshot.watermark);
        }
        for (done, first) in self.appends {
            let _ = done.send(Ok(first));
        }
        if !self.delays.is_empty() {
            // One may be due before all others.
            store.work.push(Job::Delayed);
        }
        for done in self.delays {
            let _ = done.send(Ok(()));
        }
        for done in self.others {
            (done.0)(store, Ok(()));
        }
    }

    fn failed(self, store: &StoreInner, error: StorageError) {
        for log in &self.logs {
            log.discard();
        }
        for (partition, _) in &self.snapshots {
            store.mark_dirty(partition);
        }
        let failed = AppendError::Failed(error.to_string());
        tracing::error!(folder = %store.folder.path.display(), %error, "the queue cannot write");
        *store.failure() = Some(error);
        for (done, _) in self.appends {
            let _ = done.send(Err(failed.clone()));
        }
        for done in self.delays {
            let _ = done.send(Err(failed.clone()));
        }
        for done in self.others {
            (done.0)(store, Err(failed.clone()));
        }
        // Producers that wait for messages fail, if the store does not go on.
        store.wake_members();
    }
}

fn refuse(store: &StoreInner, requests: Vec<Request>, error: &AppendError) {
    for request in requests {
        match request {
            Request::Append(append) => drop(append.done.send(Err(error.clone()))),
            Request::Delay { done, .. } => drop(done.send(Err(error.clone()))),
            Request::Write { done, .. } | Request::Flush(done) => {
                (done.0)(store, Err(error.clone()));
            }
        }
    }
}

/// Puts requests back in front of the others.
fn put_back(store: &StoreInner, requests: Vec<Request>) {
    let mut inbox = store.inbox.lock();
    for request in requests.into_iter().rev() {
        inbox.push_front(request);
    }
}
