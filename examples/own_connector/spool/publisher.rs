//! The sending side: [`SpoolPublisher`] writes files to `tmp/` and moves them to `new/`, so that nobody reads half of one.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File},
    hash::{BuildHasher, Hasher},
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway::{BoxError, ConfigError, Outgoing, Problem, PublishError, Publisher};
use tokio::{sync::Semaphore, time::timeout};

use super::{blocking::blocking, file, folders::Folders};

/// The options of a [`SpoolPublisher`].
#[derive(Debug, Clone)]
#[must_use = "a publisher has to be opened"]
pub struct SpoolPublisherBuilder {
    folders: Folders,
    in_flight_max: usize,
    confirm_timeout: Duration,
}

impl SpoolPublisherBuilder {
    /// The most messages on their way, of all callers together: 1,000, and 1 to 1,000,000. Who has more to send waits.
    pub fn in_flight_max(mut self, n: usize) -> Self {
        self.in_flight_max = n;
        self
    }

    /// How long a message, and `flush`, may wait for the disk: 30 s, and more than nothing.
    pub fn confirm_timeout(mut self, confirm_timeout: Duration) -> Self {
        self.confirm_timeout = confirm_timeout;
        self
    }

    /// Finds the folder.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for options that cannot work; otherwise a text that names the folder.
    pub async fn open(self) -> Result<SpoolPublisher, BoxError> {
        ConfigError::check("the spool publisher", self.problems())?;
        let folders = self.folders.clone();
        let root = self.folders.root().display();
        blocking(move || folders.create())
            .await?
            .map_err(|error| format!("`folder` = {root} cannot be written: {error}"))?;
        Ok(SpoolPublisher {
            in_flight: Arc::new(Semaphore::new(self.in_flight_max)),
            names: Arc::default(),
            is_closed: AtomicBool::new(false),
            options: self,
        })
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=1_000_000).contains(&self.in_flight_max) {
            let message = format!("is {}; give 1 to 1,000,000", self.in_flight_max);
            problems.push(Problem::new("in_flight_max", message));
        }
        if self.confirm_timeout.is_zero() {
            problems.push(Problem::new(
                "confirm_timeout",
                "is zero; give more, such as 30 s",
            ));
        }
        problems
    }
}

/// Sends messages to a spool folder. Put it into an `Arc` to share it.
///
/// A confirmed message is on disk: its bytes and its name were synced. All messages of one call share the sync of the
/// folder, so hand over many at once. [`Outgoing::to`] is refused.
#[derive(Debug)]
pub struct SpoolPublisher {
    options: SpoolPublisherBuilder,
    /// One for each message that may be on its way.
    in_flight: Arc<Semaphore>,
    names: Arc<Names>,
    is_closed: AtomicBool,
}

impl SpoolPublisher {
    /// A publisher to the spool in this folder, which has to exist.
    pub fn folder(path: impl Into<PathBuf>) -> SpoolPublisherBuilder {
        SpoolPublisherBuilder {
            folders: Folders::new(path),
            in_flight_max: 1_000,
            confirm_timeout: Duration::from_secs(30),
        }
    }

    /// Sends no more than may be in flight. The permits go where the work goes: dropped here, it goes on there, and `flush`
    /// waits for it.
    async fn send(&self, messages: Vec<Outgoing>) -> Result<Vec<io::Result<()>>, BoxError> {
        let n = u32::try_from(messages.len()).expect("checked when it was opened");
        let permits = Arc::clone(&self.in_flight).acquire_many_owned(n).await?;
        let (folders, names) = (self.options.folders.clone(), Arc::clone(&self.names));
        let written = blocking(move || {
            let results = write_all(&folders, &names, &messages);
            drop(permits);
            results
        });
        timeout(self.options.confirm_timeout, written).await?
    }
}

impl Publisher for SpoolPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let mut results = Vec::with_capacity(messages.len());
        let mut sendable = Vec::new();
        let mut places = Vec::new();
        for (place, message) in messages.into_iter().enumerate() {
            results.push(check(&message));
            if results[place].is_ok() {
                sendable.push(message);
                places.push(place);
            }
        }
        let mut sendable = sendable.into_iter();
        for places in places.chunks(self.options.in_flight_max) {
            let chunk: Vec<_> = sendable.by_ref().take(places.len()).collect();
            if self.is_closed.load(Ordering::Acquire) {
                places
                    .iter()
                    .for_each(|place| results[*place] = Err(PublishError::closed()));
                continue;
            }
            match self.send(chunk).await {
                Ok(written) => {
                    for (place, result) in places.iter().zip(written) {
                        results[*place] = result.map_err(PublishError::unconfirmed);
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    for place in places {
                        results[*place] = Err(PublishError::unconfirmed(error.as_str()));
                    }
                }
            }
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let all = u32::try_from(self.options.in_flight_max).expect("checked when it was opened");
        // Permits are handed out in turn: when all are here, whoever came before has ended.
        match timeout(
            self.options.confirm_timeout,
            self.in_flight.acquire_many(all),
        )
        .await
        {
            Ok(_) => Ok(()),
            Err(_) => Err(format!(
                "messages to {} were not written within {:?} (`confirm_timeout`)",
                self.options.folders.root().display(),
                self.options.confirm_timeout
            )
            .into()),
        }
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.is_closed.store(true, Ordering::Release);
        self.flush().await
    }
}

fn check(message: &Outgoing) -> Result<(), PublishError> {
    if let Some(to) = message.destination() {
        let why = format!("`to` = {to:?}: a spool is a single place; leave `to` out");
        return Err(PublishError::refused(why));
    }
    // Before anything is written: a message that has no file is refused, and does not count as lost.
    file::encode(message)
        .map(drop)
        .map_err(PublishError::refused)
}

/// One result for each message, in order. All names are made first, so that they have the order of the messages.
fn write_all(folders: &Folders, names: &Names, messages: &[Outgoing]) -> Vec<io::Result<()>> {
    let mut results: Vec<_> = messages
        .iter()
        .map(|message| write(folders, &names.next(), message))
        .collect();
    // One sync makes all renames last. Without it none of them is confirmed.
    if let Err(error) = File::open(folders.path("new", "")).and_then(|folder| folder.sync_all()) {
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(io::Error::new(error.kind(), error.to_string()));
        }
    }
    results
}

fn write(folders: &Folders, name: &str, message: &Outgoing) -> io::Result<()> {
    let bytes = file::encode(message).map_err(io::Error::other)?;
    let (tmp, new) = (folders.path("tmp", name), folders.path("new", name));
    let written = File::create_new(&tmp).and_then(|mut file| {
        file.write_all(&bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&tmp, &new));
    if moved.is_err() {
        drop(fs::remove_file(&tmp)); // nobody reads it anyway
    }
    moved
}

/// Names that sort as they were made, and that no other publisher makes.
#[derive(Debug)]
struct Names {
    publisher: u64,
    last_ns: Mutex<u128>,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            publisher: RandomState::new().build_hasher().finish(),
            last_ns: Mutex::default(),
        }
    }
}

impl Names {
    fn next(&self) -> String {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut last_ns = self.last_ns.lock().expect("nobody panics with it");
        // The clock may stand still or be set back; names never are.
        *last_ns = since_1970.unwrap_or_default().as_nanos().max(*last_ns + 1);
        format!("{last_ns:020}-{:016x}", self.publisher)
    }
}
