//! Reads ahead for a partition, and reads again the records that are due.

use std::sync::{Arc, atomic::Ordering};

use broadway_core::telemetry::Event;

use super::{StoreInner, report};
use crate::{
    block::{Block, StoredRecord},
    group::{Ended, Lease, Offered, Partition},
    log::Read,
    options::OnCorrupt,
    store::worker::Job,
};

/// When a record that could not be read is read again, in milliseconds.
const PAUSE: u64 = 1_000;
/// The same in a halted partition.
const HALTED: u64 = 60_000;

/// How many bytes one job reads, about.
const READ_BYTES: usize = 512 * 1024;

/// The records that were read, in order, and the offset behind them.
#[derive(Default)]
struct Ahead {
    records: Vec<(u64, StoredRecord)>,
    end: Option<u64>,
}

/// The result of reading one offset.
pub(super) enum Found {
    Record(StoredRecord),
    /// It was deleted by retention.
    Deleted,
    Corrupt,
}

/// Reads what a partition waits for.
pub(super) fn fill(store: &StoreInner, partition: &Arc<Partition>) {
    let plan = partition.plan_fill(store);
    let mut ahead = Ahead::default();
    if let Some(from) = plan.from
        && let Err(error) = read_ahead(store, partition, from, &mut ahead)
    {
        report(
            partition,
            &format!("{} cannot be read: {error}", partition.log.name()),
        );
    }
    partition.fill(ahead.records, ahead.end);
    if plan.due.is_empty() {
        return;
    }
    if partition.settings.deliveries_max.is_none() {
        return deliver_again(store, partition, plan.due);
    }
    // That they are delivered again must be on disk before, to count if the process ends.
    store.deliver_later(partition, plan.due);
}

/// Reads records again that are leased, and passes them to the producer.
pub(super) fn deliver_again(store: &StoreInner, partition: &Arc<Partition>, due: Vec<Offered>) {
    let mut ready = Vec::new();
    for offered in due {
        match offered {
            Offered::Deliver(lease) => match read_one(store, partition, lease.offset) {
                Ok(Found::Record(record)) => ready.push((lease, record)),
                Ok(Found::Deleted) => partition.settle_moved(lease, store),
                Ok(Found::Corrupt) => corrupt_again(store, partition, lease),
                Err(error) => {
                    report(
                        partition,
                        &format!("{} cannot be read: {error}", partition.log.name()),
                    );
                    partition.give_back(lease, Ended::Returned { after: PAUSE }, store);
                }
            },
            Offered::Exhausted(lease) => {
                store
                    .work
                    .push(Job::DeadLetter(Arc::clone(partition), lease, None));
            }
            Offered::Hold => {}
        }
    }
    if !ready.is_empty() {
        partition.deliver_again(ready, store);
    }
}

/// Reads one record.
pub(super) fn read_one(
    store: &StoreInner,
    partition: &Partition,
    offset: u64,
) -> Result<Found, String> {
    if offset < partition.log.start() {
        return Ok(Found::Deleted);
    }
    let read = partition.log.read(offset, 1, &*store.storage().storage);
    let Read::Blocks(blocks) = read.map_err(|error| error.to_string())? else {
        return Ok(Found::Corrupt);
    };
    let mut found = Found::Corrupt;
    if let Some(block) = blocks.first() {
        block.read(offset, |at, record| {
            if let (Ok(record), true) = (record, at == offset) {
                found = Found::Record(record);
            }
            false
        });
    }
    Ok(found)
}

/// A record that was readable is corrupt now.
pub(super) fn corrupt_again(store: &StoreInner, partition: &Arc<Partition>, lease: Lease) {
    let mut ahead = Ahead::default();
    match corrupt(store, partition, lease.offset, lease.offset + 1, &mut ahead) {
        true => partition.settle_moved(lease, store),
        // The partition is halted. It waits until the source is opened again.
        false => partition.give_back(lease, Ended::Returned { after: HALTED }, store),
    }
}

fn read_ahead(
    store: &StoreInner,
    partition: &Arc<Partition>,
    from: u64,
    ahead: &mut Ahead,
) -> Result<(), String> {
    let log = &partition.log;
    let start = log.start();
    if from < start {
        lost(partition, from, start);
        ahead.end = Some(start);
    }
    let from = from.max(start);
    let read = log.read(from, READ_BYTES, &*store.storage().storage);
    match read.map_err(|error| error.to_string())? {
        Read::End => Ok(()),
        Read::Corrupt { end } => {
            corrupt(store, partition, from, end, ahead);
            Ok(())
        }
        Read::Blocks(blocks) => {
            for block in blocks {
                if !decode(store, partition, &block, from, ahead) {
                    break;
                }
            }
            Ok(())
        }
    }
}

/// Returns `false` if a corrupt record stopped the partition.
fn decode(
    store: &StoreInner,
    partition: &Arc<Partition>,
    block: &Block,
    from: u64,
    ahead: &mut Ahead,
) -> bool {
    let mut goes_on = true;
    block.read(from, |offset, record| {
        match record {
            Ok(record) => {
                ahead.records.push((offset, record));
                ahead.end = Some(offset + 1);
            }
            Err(_) => goes_on = corrupt(store, partition, offset, offset + 1, ahead),
        }
        goes_on
    });
    goes_on
}

/// These offsets cannot be read. Returns whether reading goes on behind them.
fn corrupt(
    store: &StoreInner,
    partition: &Arc<Partition>,
    from: u64,
    end: u64,
    ahead: &mut Ahead,
) -> bool {
    let name = partition.log.name();
    store.stats.corrupt.fetch_add(end - from, Ordering::Relaxed);
    let what = match end - from {
        1 => format!("the record {name}@{from} is corrupt"),
        n => format!(
            "the records {name}@{from} to {} are corrupt, {n} at most",
            end - 1
        ),
    };
    let Some(owner) = partition.owner() else {
        return false;
    };
    match partition.settings.on_corrupt {
        OnCorrupt::Skip => {
            let text = format!("{what}: passed over (`on_corrupt`)");
            owner
                .emitter
                .emit(&Event::source_error(owner.producer, &text));
            lost(partition, from, end);
            ahead.end = Some(end);
            true
        }
        OnCorrupt::Halt => {
            let position = i64::try_from(from).unwrap_or(i64::MAX);
            let text = format!(
                "{what}: check the disk, run `broadway-queue verify`, and set `on_corrupt(OnCorrupt::Skip)` to go on without it"
            );
            partition.halt();
            owner
                .emitter
                .emit(&Event::halted(owner.producer, &name, position, &text));
            false
        }
    }
}

fn lost(partition: &Partition, from: u64, end: u64) {
    let position = |offset| i64::try_from(offset).unwrap_or(i64::MAX);
    if let Some(owner) = partition.owner() {
        let range = position(from)..position(end);
        owner
            .emitter
            .emit(&Event::lost(owner.producer, &partition.log.name(), range));
    }
}
