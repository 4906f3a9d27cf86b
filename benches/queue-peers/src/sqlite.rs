//! A table of messages in SQLite, a transaction for each row.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::BoxError;

/// Inserts rows, each in a transaction that is on the device when it returns.
pub(crate) fn insert_rows(
    folder: &Path,
    messages: u64,
    bytes: usize,
) -> Result<Duration, BoxError> {
    let connection = Connection::open(folder.join("bench.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute(
        "CREATE TABLE messages (id INTEGER PRIMARY KEY, payload BLOB NOT NULL)",
        (),
    )?;
    let mut insert = connection.prepare("INSERT INTO messages (payload) VALUES (?1)")?;
    let payload = vec![b'x'; bytes];
    let began = Instant::now();
    for _ in 0..messages {
        insert.execute((&payload,))?;
    }
    Ok(began.elapsed())
}
