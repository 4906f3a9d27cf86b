//! The broker: a folder with four others, in which every operation is a rename.
//!
//! A rename within one file system is atomic: of any number of processes that try the same one, exactly one succeeds. A consumer takes
//! a message by moving it to `taken/` under a name that holds the end of its lease, such as `1764000000000~00001763999999-2f`
//! (milliseconds since 1970). Renewing, settling or reclaiming the message needs that name, so a consumer that comes second finds no such
//! file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The longest name of a message. The name of a lease is 21 bytes longer, and file systems allow 255.
pub(super) const NAME_BYTES_MAX: usize = 200;

/// The folders of one spool.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

/// A message in `taken/`, and the end of its lease in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    name: String,
    until: u64,
}

impl Lease {
    /// The name of the message.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn file_name(&self) -> String {
        format!("{}~{}", self.until, self.name)
    }

    fn parse(file_name: &str) -> Option<Self> {
        let (until, name) = file_name.split_once('~')?;
        Some(Self {
            name: name.to_owned(),
            until: until.parse().ok()?,
        })
    }
}

/// A time from now, by the wall clock, since leases outlive processes. Machines that share a spool need clocks that agree.
pub(super) fn in_ms(from_now: Duration) -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = (since_1970.unwrap_or_default() + from_now).as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}

impl Folders {
    /// The folders below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder or file of this name.
    pub fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    /// Creates missing folders below the root. Does not create the root, which may be misspelt.
    pub fn create(&self) -> io::Result<()> {
        ["tmp", "new", "taken", "failed"]
            .iter()
            .try_for_each(|folder| fs::create_dir_all(self.root.join(folder)))
    }

    /// Names of the messages that are not taken, in order.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        let mut names = self.names("new")?;
        names.sort_unstable();
        Ok(names)
    }

    /// Messages that are taken, by any consumer.
    pub fn taken(&self) -> io::Result<Vec<Lease>> {
        let names = self.names("taken")?;
        Ok(names.iter().filter_map(|name| Lease::parse(name)).collect())
    }

    /// Takes a message. `None` if another consumer took it first.
    pub fn take(&self, name: &str, until: u64) -> io::Result<Option<Lease>> {
        let name = name.to_owned();
        let lease = Lease { name, until };
        let is_ours = rename(&self.path("new", &lease.name), &self.held(&lease))?;
        Ok(is_ours.then_some(lease))
    }

    /// Extends the lease. `false` if another consumer has the message.
    pub fn renew(&self, lease: &mut Lease, until: u64) -> io::Result<bool> {
        let name = lease.name.clone();
        let renewed = Lease { name, until };
        let is_ours = rename(&self.held(lease), &self.held(&renewed))?;
        *lease = renewed;
        Ok(is_ours)
    }

    /// Makes the message available at once. `false` if another consumer has it.
    pub fn give_back(&self, lease: &Lease) -> io::Result<bool> {
        rename(&self.held(lease), &self.path("new", &lease.name))
    }

    /// Moves the message to `failed/`. `false` if another consumer has it.
    pub fn put_aside(&self, lease: &Lease) -> io::Result<bool> {
        rename(&self.held(lease), &self.path("failed", &lease.name))
    }

    /// Deletes the message. `false` if another consumer has it.
    pub fn delete(&self, lease: &Lease) -> io::Result<bool> {
        found(fs::remove_file(self.held(lease)))
    }

    /// Gives back the messages whose leases have expired.
    pub fn give_back_expired(&self, now: u64) -> io::Result<()> {
        for lease in self.taken()?.iter().filter(|lease| lease.until <= now) {
            self.give_back(lease)?;
        }
        Ok(())
    }

    /// The file of a taken message.
    pub fn held(&self, lease: &Lease) -> PathBuf {
        self.path("taken", &lease.file_name())
    }

    /// Files whose names begin with a dot, are too long, or are not UTF-8, are not messages.
    fn names(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder))? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_name(name)) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}

fn is_name(name: &str) -> bool {
    let of_lease = 21;
    !name.starts_with('.') && name.len() <= NAME_BYTES_MAX + of_lease
}

fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    found(fs::rename(from, to))
}

/// `false` if the file does not exist any more.
fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
