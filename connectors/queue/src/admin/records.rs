//! [`Records`]: the records of one partition, in order.

use std::{collections::VecDeque, fmt, ops::Range, sync::Arc};

use serde::Serialize;

use crate::{
    block::StoredRecord,
    connect::StoreHandle,
    group::Lease,
    log::{PartitionLog, Read},
    record::QueueRecord,
};

/// How many bytes are read at once, about.
const READ_BYTES: usize = 512 * 1024;

/// Iterates over the records of a partition, up to the end that it had at first. Offsets that cannot be read are [`CorruptRecords`], and the records behind
/// them follow. Blocks.
#[derive(Debug)]
pub struct Records {
    store: StoreHandle,
    log: Arc<PartitionLog>,
    next: u64,
    end: u64,
    read: VecDeque<Result<(u64, StoredRecord), CorruptRecords>>,
}

/// Offsets of a partition that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CorruptRecords {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offsets. Not all of them need have had a record.
    pub offsets: Range<u64>,
    /// Why nothing can be read, if it is not for these offsets alone. The iterator ends then.
    pub reason: Option<String>,
}

impl fmt::Display for CorruptRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            partition,
            offsets,
            reason,
        } = self;
        write!(
            f,
            "{topic}[{partition}]@{} to {} cannot be read",
            offsets.start, offsets.end
        )?;
        match reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CorruptRecords {}

impl Records {
    pub(super) fn new(store: StoreHandle, log: Arc<PartitionLog>, from: u64) -> Self {
        Self {
            next: from.max(log.start()),
            end: log.end(),
            store,
            log,
            read: VecDeque::new(),
        }
    }

    fn corrupt(&self, offsets: Range<u64>, reason: Option<String>) -> CorruptRecords {
        CorruptRecords {
            topic: self.log.topic.clone(),
            partition: self.log.partition,
            offsets,
            reason,
        }
    }

    fn read_more(&mut self) {
        let read = self
            .log
            .read(self.next, READ_BYTES, &*self.store.storage().storage);
        match read {
            Ok(Read::Blocks(blocks)) => {
                for block in blocks {
                    block.read(self.next, |offset, record| {
                        let found = match record {
                            Ok(record) => Ok((offset, record)),
                            Err(_) => Err(self.corrupt(offset..offset + 1, None)),
                        };
                        self.read.push_back(found);
                        true
                    });
                    self.next = self.next.max(block.end());
                }
            }
            Ok(Read::Corrupt { end }) => {
                let corrupt = self.corrupt(self.next..end, None);
                self.read.push_back(Err(corrupt));
                self.next = end;
            }
            Ok(Read::End) => self.next = self.end,
            Err(error) => {
                let corrupt = self.corrupt(self.next..self.end, Some(error.to_string()));
                self.read.push_back(Err(corrupt));
                self.next = self.end;
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<QueueRecord, CorruptRecords>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() && self.next < self.end {
            self.read_more();
        }
        let read = self.read.pop_front()?;
        Some(read.map(|(offset, record)| {
            let lease = Lease {
                offset,
                delivery: 1,
                turn: 0,
            };
            QueueRecord::new(&self.log, lease, record)
        }))
    }
}
