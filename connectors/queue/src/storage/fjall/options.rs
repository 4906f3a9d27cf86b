//! How fjall is set up: for little memory, and for values of 1 KiB to 256 KiB that are read by scans.

use std::path::Path;

use fjall::{
    Database, DatabaseBuilder, KeyspaceCreateOptions,
    config::{BlockSizePolicy, CompressionPolicy, FilterPolicy, PinningPolicy},
};

const MIB: u64 = 1024 * 1024;

/// Blocks that were read, of all spaces.
const CACHE: u64 = 8 * MIB;

/// A space writes a table when it has more bytes than this in memory, if few spaces are written to.
pub(super) const MEMTABLE: u64 = if cfg!(test) { 256 * 1024 } else { 8 * MIB };

/// With many spaces, each has a share of this, and at least [`LEAST_MEMTABLE`].
const MEMTABLES: u64 = 4 * MEMTABLE;

/// Smaller tables would take more time to sync than to write.
const LEAST_MEMTABLE: u64 = MEMTABLE / 8;

/// Commits wait while the spaces that have to write a table have more than this in memory.
pub(super) const MEMTABLES_LIMIT: u64 = 3 * MEMTABLE;

/// The same as [`MEMTABLE`] for the space of marks, which gets one small value with each commit.
pub(super) const MARKS_MEMTABLE: usize = 2 * 1024 * 1024;

/// fjall looks after its journals only when some space writes a table. With many small spaces none would, and the journal would grow
/// without a limit. So a mark is made so large after this many bytes that its space writes a table.
pub(super) const BYTES_BETWEEN_FLUSHES: u64 = 48 * MIB;

/// The least that fjall allows. Spaces whose bytes keep a journal longer than this have to write a table.
const JOURNALS: u64 = 64 * MIB;

/// Open files of tables.
const FILES: usize = 64;

/// As blocks end after the value that fills them, larger values have blocks of their own.
const BLOCK: u32 = 32 * 1024;

/// fjall needs about 25 KiB more memory and five more files with each keyspace that is made and deleted. It lets go of them when it is
/// opened, which takes a fraction of a second. With segments of 64 MiB, this is once in 4 GiB.
pub(super) const CHANGES_BETWEEN_OPENINGS: u32 = if cfg!(test) { 16 } else { 128 };

/// More than the numbers that fjall uses for one change of its list of keyspaces, and for what its thread does meanwhile.
pub(super) const SKIPPED_NUMBERS: u32 = 64;

/// A device with less than this is full: a table may need as much.
pub(super) const ROOM: u64 = 2 * MEMTABLES_LIMIT;

pub(super) fn database(folder: &Path) -> DatabaseBuilder<Database> {
    Database::builder(folder)
        .cache_size(CACHE)
        .max_cached_files(Some(FILES))
        .max_journaling_size(JOURNALS)
        // A second thread would only pass compactions back to the queue while the first compacts. One writes all tables in order.
        .worker_threads(1)
}

/// The bytes that each space may have in memory, if there is this number of spaces.
pub(super) fn memtable(spaces: u64) -> u64 {
    (MEMTABLES / spaces).clamp(LEAST_MEMTABLE, MEMTABLE)
}

pub(super) fn space(memtable: u64) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(memtable)
        .data_block_size_policy(BlockSizePolicy::all(BLOCK))
        // The records in a value are compressed where that helps.
        .data_block_compression_policy(CompressionPolicy::disabled())
        .index_block_compression_policy(CompressionPolicy::disabled())
        // Nothing is looked up that is not there.
        .filter_policy(FilterPolicy::disabled())
        .expect_point_read_hits(true)
        .filter_block_pinning_policy(PinningPolicy::disabled())
        .index_block_pinning_policy(PinningPolicy::disabled())
}

pub(super) fn marks() -> KeyspaceCreateOptions {
    space(MARKS_MEMTABLE as u64)
}
