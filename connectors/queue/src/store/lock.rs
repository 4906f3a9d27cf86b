//! [`FolderLock`]: one process per folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    process,
};

use broadway_core::connector::ConnectorError;

/// The name of the lock file, which has the id of the process that holds it.
const NAME: &str = "lock";

/// Held while the folder is open. The operating system releases it when the process ends, in whatever way.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn acquire(folder: &Path) -> Result<Self, ConnectorError> {
        let path = folder.join(NAME);
        let cannot = |error: std::io::Error| {
            ConnectorError::permanent(format!("cannot open {}: {error}", path.display()))
        };
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = options.map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    pid => format!("process {pid}"),
                };
                return Err(ConnectorError::transient(format!(
                    "the queue in {} is open in {holder}; one process at a time can open a folder: end that one, or share a broker instead \
                     (docs/scaling-out.md)",
                    folder.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        file.set_len(0).map_err(cannot)?;
        file.rewind().map_err(cannot)?;
        writeln!(file, "{}", process::id()).map_err(cannot)?;
        Ok(Self { _file: file })
    }
}
