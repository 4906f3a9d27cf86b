//! The store of batches: a file here, a database in your program.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::orders::Order;

/// A file with lines `customer,orders,cents`. Several batch processors write to it concurrently.
pub(crate) struct Store {
    file: Mutex<File>,
}

impl Store {
    /// Opens the file for appending.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path);
        let file = file.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot open {}: {error}", path.display()),
            )
        })?;
        Ok(Self {
            file: Mutex::new(file),
        })
    }

    /// Writes one line. After a crash a batch may arrive twice. In a database, use a unique key such as
    /// topic, partition and offset, so that the second write has no effect.
    pub(crate) fn write(&self, customer: impl fmt::Display, orders: &[Order]) -> io::Result<()> {
        let cents: u64 = orders.iter().map(|order| order.cents).sum();
        let line = format!("{customer},{},{cents}\n", orders.len());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
    }
}
