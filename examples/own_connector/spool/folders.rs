//! The broker: a folder with five others, in which a rename says everything.
//!
//! A rename within one file system is atomic: of any number of processes that try the same one, a single one succeeds.
//! That is all that is needed. A message is taken by moving it to `taken/` under a name that says until when:
//! `1764000000000~00001763999999-2f`, milliseconds since 1970. To keep it, to settle it, or to take it away from an owner
//! whose lease ran out, one has to know that name; whoever comes second finds no such file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The longest name of a message: that of a lease is 21 bytes longer, and file systems end at 255.
pub(super) const NAME_BYTES_MAX: usize = 200;

/// The folders of one spool.
#[derive(Debug, Clone)]
pub struct Folders {
    root: PathBuf,
}

/// A message in `taken/` and until when it is held, in milliseconds since 1970.
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

/// The wall clock, since leases outlive processes: machines that share a spool need clocks that agree.
pub(super) fn in_ms(from_now: Duration) -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = (since_1970.unwrap_or_default() + from_now).as_millis();
    u64::try_from(ms).unwrap_or(u64::MAX)
}

impl Folders {
    /// Those below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where they are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder or file of this name.
    pub fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(folder).join(name)
    }

    /// Makes what is missing below the root; the root itself is not made, for it may be misspelt.
    pub fn create(&self) -> io::Result<()> {
        ["tmp", "new", "taken", "failed"]
            .iter()
            .try_for_each(|folder| fs::create_dir_all(self.root.join(folder)))
    }

    /// Names of the messages that nobody has taken, in order.
    pub fn waiting(&self) -> io::Result<Vec<String>> {
        let mut names = self.names("new")?;
        names.sort_unstable();
        Ok(names)
    }

    /// What is taken, by whomever.
    pub fn taken(&self) -> io::Result<Vec<Lease>> {
        let names = self.names("taken")?;
        Ok(names.iter().filter_map(|name| Lease::parse(name)).collect())
    }

    /// Takes a message; `None` if somebody else was quicker.
    pub fn take(&self, name: &str, until: u64) -> io::Result<Option<Lease>> {
        let name = name.to_owned();
        let lease = Lease { name, until };
        let is_ours = rename(&self.path("new", &lease.name), &self.held(&lease))?;
        Ok(is_ours.then_some(lease))
    }

    /// Holds it until then instead; `false` if it is no longer ours.
    pub fn renew(&self, lease: &mut Lease, until: u64) -> io::Result<bool> {
        let name = lease.name.clone();
        let renewed = Lease { name, until };
        let is_ours = rename(&self.held(lease), &self.held(&renewed))?;
        *lease = renewed;
        Ok(is_ours)
    }

    /// For anybody to take, at once; `false` if it is no longer ours.
    pub fn give_back(&self, lease: &Lease) -> io::Result<bool> {
        rename(&self.held(lease), &self.path("new", &lease.name))
    }

    /// Out of the way, for somebody to look at; `false` if it is no longer ours.
    pub fn put_aside(&self, lease: &Lease) -> io::Result<bool> {
        rename(&self.held(lease), &self.path("failed", &lease.name))
    }

    /// It is done; `false` if it is no longer ours.
    pub fn delete(&self, lease: &Lease) -> io::Result<bool> {
        found(fs::remove_file(self.held(lease)))
    }

    /// Gives back what is held by those who are not heard of any more.
    pub fn give_back_expired(&self, now: u64) -> io::Result<()> {
        for lease in self.taken()?.iter().filter(|lease| lease.until <= now) {
            self.give_back(lease)?;
        }
        Ok(())
    }

    /// The file of a message that is taken.
    pub fn held(&self, lease: &Lease) -> PathBuf {
        self.path("taken", &lease.file_name())
    }

    /// What begins with a dot, is too long, or is no UTF-8, is no message.
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

/// `false` if somebody else was quicker.
fn found(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
