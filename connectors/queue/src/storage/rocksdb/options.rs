//! How RocksDB is set up: for little memory, and for values of 1 KiB to 256 KiB that are read by scans.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode,
    InfoLogger, LogLevel, Options, WriteBufferManager,
};

const MIB: usize = 1024 * 1024;

/// Blocks that were read, of all column families.
const CACHE: usize = 8 * MIB;

/// A column family writes a table when it has more bytes than this in memory.
const MEMTABLE: usize = if cfg!(test) { 256 * 1024 } else { 8 * MIB };

/// What it takes from the memory at once.
const ARENA: usize = 64 * 1024;

/// The limit of all of them.
const MEMTABLES: usize = 32 * MIB;

/// Column families whose bytes keep the log longer than this have to write a table.
const LOGS: u64 = 128 * MIB as u64;

const TABLE: u64 = 64 * MIB as u64;

/// Open files of tables.
const FILES: i32 = 128;

/// As blocks end after the value that fills them, larger values have blocks of their own.
const BLOCK: usize = 32 * 1024;

pub(super) fn database(recovery: DBRecoveryMode) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_wal_recovery_mode(recovery);
    options.set_paranoid_checks(true);
    // Commits wait while there is more in memory.
    options.set_write_buffer_manager(&WriteBufferManager::new_write_buffer_manager(
        MEMTABLES, true,
    ));
    options.set_max_total_wal_size(LOGS);
    options.set_max_background_jobs(2);
    options.set_max_open_files(FILES);
    options.set_skip_stats_update_on_db_open(true);
    options.set_max_manifest_file_size(4 * MIB);
    // Not a file: RocksDB writes all options of each column family to it, and keeps them in memory if the file is limited.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, log));
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn log(level: LogLevel, text: &str) {
    match level {
        LogLevel::Warn => tracing::warn!("{}", text.trim_end()),
        LogLevel::Error | LogLevel::Fatal => tracing::error!("{}", text.trim_end()),
        LogLevel::Debug | LogLevel::Info | LogLevel::Header => {}
    }
}

pub(super) fn cache() -> Cache {
    Cache::new_lru_cache(CACHE)
}

pub(super) fn families(names: &[String], cache: &Cache) -> Vec<ColumnFamilyDescriptor> {
    names
        .iter()
        .map(|name| ColumnFamilyDescriptor::new(name, family(cache)))
        .collect()
}

pub(super) fn family(cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_block_size(BLOCK);
    // Indexes of all tables would be in memory otherwise. Filters are not made: nothing is looked up that is not there.
    blocks.set_cache_index_and_filter_blocks(true);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(MEMTABLE);
    // Counts as a whole, for each column family that has a value.
    options.set_arena_block_size(ARENA);
    options.set_max_write_buffer_number(3);
    options.set_target_file_size_base(TABLE);
    // The records in a value are compressed where that helps.
    options.set_compression_type(DBCompressionType::None);
    options
}
