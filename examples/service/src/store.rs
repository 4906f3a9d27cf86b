//! Where batches go: a file here, a database in your program.

use std::{
    fmt,
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

use crate::orders::Order;

/// A file of lines `customer,orders,cents`. Several batch processors write to it at once.
pub(crate) struct Store {
    file: Mutex<File>,
}

impl Store {
    /// Opens the file to append to it.
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

    /// Writes one line. A batch may come twice, after a crash: a database would insert with a key
    /// of its own, such as topic, partition and offset, so that the second time changes nothing.
    pub(crate) fn write(&self, customer: impl fmt::Display, orders: &[Order]) -> io::Result<()> {
        let cents: u64 = orders.iter().map(|order| order.cents).sum();
        let line = format!("{customer},{},{cents}\n", orders.len());
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes())
    }
}
