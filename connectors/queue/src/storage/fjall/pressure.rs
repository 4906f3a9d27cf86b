//! [`Pressure`]: keeps the bytes that wait in memory for their table few.
//!
//! fjall takes commits as fast as the journal does, and a table is slower, so that a fast writer would fill the memory; and each space
//! has its own limit, so that many spaces would. How many bytes wait is not known from outside. But the size of a space's tables is, and
//! it grows with each new one.

use std::{
    collections::{BTreeMap, HashMap},
    thread,
    time::{Duration, Instant},
};

use fjall::{Database, Keyspace, PersistMode};

use super::{open::Open, options};
use crate::storage::Space;

/// Goes on after this time without a new table, as the count may be wrong. A failure of the device is noticed at once.
const PATIENCE: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(super) struct Pressure {
    spaces: HashMap<Space, Waiting>,
    /// Whether some space may have to write a table.
    is_due: bool,
    /// The bytes in journals that no table may be due for.
    since_flush: u64,
}

/// The bytes of a space that are in memory only, at most.
struct Waiting {
    keyspace: Keyspace,
    bytes: u64,
    /// With more bytes, it writes a table.
    limit: u64,
    /// The size of all tables when it was last looked at.
    tables: u64,
}

impl Pressure {
    /// For a store whose journals have this number of bytes. They may be of processes that all ended before a table became due.
    pub(super) fn new(journals: u64) -> Self {
        Self {
            since_flush: journals,
            ..Self::default()
        }
    }

    /// How many bytes a new space may have in memory: a share of what all spaces may have.
    pub(super) fn share(&mut self) -> u64 {
        let mut others = 0;
        for waiting in self.spaces.values_mut() {
            waiting.look();
            // A space without tables is new, and will have bytes.
            others += u64::from(waiting.bytes > 0 || waiting.tables == 0);
        }
        options::memtable(others + 1)
    }

    /// Counts bytes that are about to be written.
    pub(super) fn add(&mut self, space: Space, keyspace: &Keyspace, bytes: usize) {
        let waiting = self.count(space, keyspace, options::MEMTABLE);
        waiting.bytes += bytes as u64;
        let is_due = waiting.bytes > waiting.limit;
        self.is_due |= is_due;
        self.since_flush = match is_due {
            true => 0,
            false => self.since_flush + bytes as u64,
        };
    }

    /// Counts a space that was made, with this limit.
    pub(super) fn add_space(&mut self, space: Space, keyspace: &Keyspace, limit: u64) {
        self.count(space, keyspace, limit);
    }

    fn count(&mut self, space: Space, keyspace: &Keyspace, limit: u64) -> &mut Waiting {
        self.spaces.entry(space).or_insert_with(|| Waiting {
            keyspace: keyspace.clone(),
            bytes: 0,
            limit,
            tables: keyspace.disk_space(),
        })
    }

    pub(super) fn forget(&mut self, space: Space) {
        self.spaces.remove(&space);
    }

    /// Whether a table has to be written now, so that the journals are looked after. Once in a while.
    pub(super) fn is_flush_due(&mut self) -> bool {
        let is_due = self.since_flush > options::BYTES_BETWEEN_FLUSHES;
        if is_due {
            self.since_flush = 0;
        }
        is_due
    }

    /// Waits until few bytes are in memory.
    pub(super) fn wait(&mut self, database: &Database) -> fjall::Result<()> {
        let mut since = Instant::now();
        let mut before = self.due();
        while before > options::MEMTABLES_LIMIT {
            if since.elapsed() > PATIENCE {
                self.spaces
                    .values_mut()
                    .for_each(|waiting| waiting.bytes = 0);
            }
            // Fails if the thread that writes tables did.
            database.persist(PersistMode::Buffer)?;
            thread::sleep(PAUSE);
            let now = self.due();
            if now < before {
                since = Instant::now();
            }
            before = now;
        }
        Ok(())
    }

    /// The bytes of all spaces that have to write a table.
    fn due(&mut self) -> u64 {
        if !self.is_due {
            return 0;
        }
        let spaces = self.spaces.values_mut();
        let due = spaces.filter(|waiting| waiting.bytes > waiting.limit);
        let due = due.map(|waiting| match waiting.look() {
            bytes if bytes > waiting.limit => bytes,
            _ => 0,
        });
        let due = due.sum::<u64>();
        self.is_due = due > 0;
        due
    }

    /// Lets go of the handles, and keeps the counts: the bytes and the limit of each space.
    pub(super) fn suspend(&mut self) -> BTreeMap<Space, (u64, u64)> {
        let spaces = self.spaces.drain();
        spaces
            .map(|(space, waiting)| (space, (waiting.bytes, waiting.limit)))
            .collect()
    }

    pub(super) fn resume(&mut self, counts: BTreeMap<Space, (u64, u64)>, open: &Open) {
        for (space, (bytes, limit)) in counts {
            if let Ok(keyspace) = open.keyspace(space) {
                self.count(space, keyspace, limit).bytes = bytes;
            }
        }
        self.is_due = true;
    }
}

impl Waiting {
    /// Looks for new tables, and returns the bytes that are left.
    fn look(&mut self) -> u64 {
        let tables = self.keyspace.disk_space();
        if tables != self.tables {
            // Values that were overwritten are not in the table, so that it is smaller than what it took from memory. Tables that shrink
            // were merged after one was written.
            let written = tables.saturating_sub(self.tables).max(self.limit);
            self.bytes = self.bytes.saturating_sub(written);
            self.tables = tables;
        }
        self.bytes
    }
}
