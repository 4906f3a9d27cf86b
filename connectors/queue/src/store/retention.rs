//! Deletes segments that are no longer kept: acknowledged by all groups, too old, or beyond the size of a partition.

use std::{sync::Arc, time::SystemTime};

use super::{Meta, StoreInner};
use crate::{
    clock::{millis, timestamp},
    log::PartitionLog,
    storage::{StorageError, Sync},
    topic::TopicOptions,
    topics::Topic,
};

/// An active segment whose records are all acknowledged is ended, and then deleted, from this size on.
const ACKED_BYTES_MIN: u64 = 4 << 20;

/// Deletes segments that are no longer kept, in all topics.
pub(super) fn delete_old(store: &StoreInner) {
    if store.failure().is_some() {
        return;
    }
    for topic in store.topics() {
        for log in topic.logs() {
            if let Err(error) = delete_of(store, &topic, &log) {
                tracing::warn!(partition = %log.name(), %error, "cannot delete old records");
            }
        }
    }
}

fn delete_of(
    store: &StoreInner,
    topic: &Topic,
    log: &Arc<PartitionLog>,
) -> Result<(), StorageError> {
    let options = topic.options();
    let acked = match options.keep_acked {
        true => None,
        false => topic.acked_by_all(log.partition),
    };
    seal_if_acked(log, acked, ACKED_BYTES_MIN);
    delete_up_to(store, log, &options, acked).map(drop)
}

/// Lets the next record begin a new segment, so that the active one can be deleted.
pub(crate) fn seal_if_acked(log: &PartitionLog, acked: Option<u64>, bytes_min: u64) {
    let end = log.end();
    let mut segments = log.lock();
    if acked.is_some_and(|acked| acked >= end)
        && let Some(active) = segments.active_mut()
        && active.bytes >= bytes_min
    {
        active.is_sealed = true;
    }
}

/// Deletes segments from the oldest on, as long as they are not kept. Returns how many bytes that freed.
pub(crate) fn delete_up_to(
    store: &StoreInner,
    log: &PartitionLog,
    options: &TopicOptions,
    acked: Option<u64>,
) -> Result<u64, StorageError> {
    let now = timestamp(SystemTime::now());
    let age_max = options
        .retain_for
        .map(|time| i64::try_from(millis(time)).unwrap_or(i64::MAX));
    let mut freed = 0;
    loop {
        let (space, end, bytes) = {
            let segments = log.lock();
            let is_last = segments.len() == 1;
            let total = segments.bytes();
            let Some((oldest, end)) = segments.iter().next() else {
                return Ok(freed);
            };
            let is_acked = acked.is_some_and(|acked| acked >= end);
            let is_old = age_max.is_some_and(|max| now.saturating_sub(oldest.newest) > max);
            let is_over = options.retain_bytes.is_some_and(|max| total > max) && !is_last;
            // The active segment is appended to, unless it is sealed.
            let may_go = !is_last || (oldest.is_sealed && end == log.end()) || is_old;
            if !may_go || !(is_acked || is_old || is_over) {
                return Ok(freed);
            }
            (oldest.space, end, oldest.bytes)
        };
        // The offset first: an empty partition must not begin at zero again.
        let open = store.storage();
        let write = Meta(&open).set_floor(&log.topic, log.partition, end);
        open.storage.commit(vec![write], Sync::Synced)?;
        let removed = {
            let mut segments = log.lock();
            // A record may have been appended meanwhile, to a segment that was the last one and is not sealed.
            let is_same = segments
                .iter()
                .next()
                .is_some_and(|(oldest, last)| oldest.space == space && last == end);
            is_same && segments.pop_front().is_some()
        };
        if !removed {
            return Ok(freed);
        }
        log.set_start(end);
        open.storage.drop_space(space)?;
        freed += bytes;
    }
}
