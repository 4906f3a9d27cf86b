//! Delayed records: kept in the order of their due times, and appended to their partitions when they are due.
//!
//! A delayed record is on disk until then, so any number of them costs no memory. It is appended and removed in one commit.

use std::{
    ops::ControlFlow,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{Job, StoreInner, report_store};
use crate::{
    block::{Block, EncodedRecords},
    group::Millis,
    storage::{Space, Write},
    store::{
        commit::{Done, Request},
        meta::DELAYED,
    },
    varint,
};

/// How many are moved in one commit.
const MOVED_MAX: usize = 1_000;
/// When a move that failed is tried again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// The write of a record that is due at `due`.
pub(crate) fn delayed_write(
    meta: Space,
    due: Millis,
    (topic, partition): (&str, u32),
    records: &EncodedRecords,
) -> Write {
    // Distinct for equal due times, also of an earlier process: that began at another time.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let started = std::process::id();
    let mut key = DELAYED.to_vec();
    key.extend(due.to_be_bytes());
    key.extend(crate::clock::timestamp(std::time::SystemTime::now()).to_be_bytes());
    key.extend(started.to_be_bytes());
    key.extend(number.to_be_bytes());
    let mut value = Vec::new();
    varint::put(&mut value, topic.len() as u64);
    value.extend_from_slice(topic.as_bytes());
    varint::put(&mut value, u64::from(partition));
    value.extend(records.block(due, 0, 0));
    Write::Put(meta, key, value)
}

/// When delayed records are looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    At(Instant),
    /// When more are delayed.
    Later,
    /// When the commit has ended that moves some: until then, the same ones would be found, and moved twice.
    Moved,
}

/// Moves the records that are due.
pub(super) fn move_due(store: &StoreInner) -> Look {
    let now = store.clock.now();
    let later = || Look::At(Instant::now() + PAUSE);
    let found = match find(store, now) {
        Ok(found) => found,
        Err(error) => {
            report_store(store, &format!("delayed records cannot be read: {error}"));
            return later();
        }
    };
    if found.due.is_empty() && found.corrupt.is_empty() {
        return found
            .next
            .map_or(Look::Later, |at| Look::At(store.clock.instant(at)));
    }
    if !found.corrupt.is_empty() {
        let n = found.corrupt.len();
        store.stats.corrupt.fetch_add(n as u64, Ordering::Relaxed);
        report_store(
            store,
            &format!("{n} delayed messages are corrupt, and are lost"),
        );
    }
    let meta = store.storage().meta;
    let mut writes: Vec<_> = found
        .corrupt
        .into_iter()
        .map(|key| Write::Delete(meta, key))
        .collect();
    let mut appends = Vec::new();
    for (key, topic, partition, block) in found.due {
        // A folder that lost its topic gets it again.
        let log = store
            .topic(&topic, None)
            .ok()
            .and_then(|topic| topic.log(partition % topic.partitions().max(1)));
        let Some(log) = log else {
            return later();
        };
        appends.push((log, EncodedRecords::from_block(&block)));
        writes.push(Write::Delete(meta, key));
    }
    store.inbox.push(Request::Write {
        writes,
        appends,
        done: Done::new(|store, result| {
            store.work.push(Job::DelayedMoved(result.is_ok()));
        }),
    });
    Look::Moved
}

/// Delayed records that are due, the keys of corrupt ones, and when the next one is due.
#[derive(Default)]
struct Due {
    due: Vec<(Vec<u8>, String, u32, Block)>,
    corrupt: Vec<Vec<u8>>,
    next: Option<Millis>,
}

fn find(store: &StoreInner, now: Millis) -> Result<Due, String> {
    let open = store.storage();
    let mut found = Due::default();
    let scanned = open.storage.scan(open.meta, DELAYED, &mut |key, value| {
        let due = key
            .strip_prefix(DELAYED)
            .and_then(|rest| rest.first_chunk::<8>());
        let Some(due) = due.map(|due| u64::from_be_bytes(*due)) else {
            return ControlFlow::Break(());
        };
        if due > now || found.due.len() >= MOVED_MAX {
            found.next = Some(due);
            return ControlFlow::Break(());
        }
        match parse(due, &value) {
            Some((topic, partition, block)) => {
                found.due.push((key.to_vec(), topic, partition, block))
            }
            None => found.corrupt.push(key.to_vec()),
        }
        ControlFlow::Continue(())
    });
    scanned.map_err(|error| error.to_string())?;
    Ok(found)
}

fn parse(due: Millis, value: &bytes::Bytes) -> Option<(String, u32, Block)> {
    let mut rest = &value[..];
    let topic = std::str::from_utf8(varint::take_bytes(&mut rest)?).ok()?;
    let partition = u32::try_from(varint::take(&mut rest)?).ok()?;
    let block = Block::parse(due, value.slice_ref(rest)).ok()?;
    Some((topic.to_owned(), partition, block))
}
