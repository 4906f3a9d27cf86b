//! The sending side: [`SpoolPublisher`] writes files to `tmp/` and moves them to `new/`, so that no reader sees half a file.

use std::{
    collections::hash_map::RandomState,
    fs::{self, File},
    hash::{BuildHasher, Hasher},
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use broadway::{
    BoxError, Outgoing, Publisher,
    connector::{Checks, ConnectorError, Deadline, InFlight, PublishCall},
    error::{ConfigError, Problem},
    publisher::PublishError,
};

use super::{blocking::blocking, file, folders::Folders};

/// The options of a [`SpoolPublisher`].
#[derive(Debug, Clone)]
#[must_use = "call `open` to get a publisher"]
pub struct SpoolPublisherBuilder {
    folders: Folders,
    in_flight_max: usize,
    confirm_timeout: Duration,
    close_timeout: Duration,
}

impl SpoolPublisherBuilder {
    /// The most messages in flight, of all callers together. Callers wait beyond it. Defaults to 1,000; from 1 to 1,000,000.
    pub fn in_flight_max(mut self, messages: usize) -> Self {
        self.in_flight_max = messages;
        self
    }

    /// How long a message, and `flush`, may wait for the disk. Defaults to 30 s; `Duration::MAX` means no limit.
    pub fn confirm_timeout(mut self, timeout: Duration) -> Self {
        self.confirm_timeout = timeout;
        self
    }

    /// How long `close` waits for messages in flight. Defaults to 10 s; `Duration::MAX` means no limit.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Opens the folder.
    ///
    /// # Errors
    ///
    /// Fails with a [`ConfigError`] that lists all invalid options, or with a [`ConnectorError`] that names the folder.
    pub async fn open(self) -> Result<SpoolPublisher, BoxError> {
        ConfigError::check("the spool publisher", self.problems())?;
        let folders = self.folders.clone();
        blocking(move || folders.create()).await?.map_err(|error| {
            let root = self.folders.root().display();
            ConnectorError::permanent(format!("cannot write to `folder` = {root}: {error}"))
        })?;
        let shared = Shared {
            in_flight: InFlight::new(self.in_flight_max),
            names: Names::default(),
            options: self,
        };
        Ok(SpoolPublisher {
            shared: Arc::new(shared),
        })
    }

    fn problems(&self) -> Vec<Problem> {
        let mut checks = Checks::default();
        checks.within("in_flight_max", self.in_flight_max, 1..=1_000_000);
        checks.timeout("confirm_timeout", self.confirm_timeout);
        checks.timeout("close_timeout", self.close_timeout);
        checks.into_problems()
    }
}

/// Sends messages to a spool folder. Clones share the folder and the limit; closing one closes all.
///
/// A confirmed message is on disk: its bytes and its name were synced. The messages of one call share the sync of the folder, so pass
/// many at once. [`Outgoing::to`] is refused. [`flush`](Publisher::flush) does not hold up calls that begin after it.
#[derive(Debug, Clone)]
pub struct SpoolPublisher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    options: SpoolPublisherBuilder,
    in_flight: Arc<InFlight>,
    names: Names,
}

impl SpoolPublisher {
    /// A publisher to the spool in this folder. The folder must exist.
    pub fn folder(path: impl Into<PathBuf>) -> SpoolPublisherBuilder {
        SpoolPublisherBuilder {
            folders: Folders::new(path),
            in_flight_max: 1_000,
            confirm_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(10),
        }
    }

    /// Writes at most `in_flight_max` messages. The call and the permits move into the work: if this future is dropped, the write goes
    /// on, counts as in flight, and `flush` waits for it.
    async fn send(
        &self,
        call: &Arc<PublishCall>,
        messages: Vec<Outgoing>,
    ) -> Vec<Result<(), PublishError>> {
        let n = messages.len();
        let (call, shared) = (Arc::clone(call), Arc::clone(&self.shared));
        let written = async {
            let permits = shared.in_flight.acquire(n).await;
            let shared = Arc::clone(&shared);
            blocking(move || {
                let results = write_all(&shared.options.folders, &shared.names, &messages);
                drop((permits, call));
                results
            })
            .await
        };
        let timeout = self.shared.options.confirm_timeout;
        let error = match Deadline::after(timeout).within(written).await {
            Some(Ok(results)) => return results,
            Some(Err(error)) => error.to_string(),
            None => format!("not written within {timeout:?} (`confirm_timeout`)"),
        };
        let failed = || Err(PublishError::unconfirmed(error.as_str()));
        std::iter::repeat_with(failed).take(n).collect()
    }

    async fn settled(&self, option: &str, timeout: Duration) -> Result<(), BoxError> {
        let deadline = Deadline::after(timeout);
        self.shared
            .in_flight
            .flush(deadline)
            .await
            .map_err(|calls| {
                let root = self.shared.options.folders.root().display();
                let text =
                    format!("{calls} calls to {root} did not end within {timeout:?} (`{option}`)");
                ConnectorError::transient(text).into()
            })
    }
}

impl Publisher for SpoolPublisher {
    async fn publish(&self, messages: Vec<Outgoing>) -> Vec<Result<(), PublishError>> {
        let Ok(call) = self.shared.in_flight.begin() else {
            let closed = messages.iter().map(|_| Err(PublishError::closed()));
            return closed.collect();
        };
        let call = Arc::new(call);
        let mut results: Vec<_> = messages.iter().map(check).collect();
        let all = messages.into_iter().zip(&results).enumerate();
        let valid = all.filter(|(_, (_, result))| result.is_ok());
        let (places, sendable): (Vec<_>, Vec<_>) =
            valid.map(|(place, (message, _))| (place, message)).unzip();
        let mut sendable = sendable.into_iter();
        for places in places.chunks(self.shared.in_flight.messages_max()) {
            let part = sendable.by_ref().take(places.len()).collect();
            for (place, result) in places.iter().zip(self.send(&call, part).await) {
                results[*place] = result;
            }
        }
        results
    }

    async fn flush(&self) -> Result<(), BoxError> {
        let timeout = self.shared.options.confirm_timeout;
        self.settled("confirm_timeout", timeout).await
    }

    async fn close(&self) -> Result<(), BoxError> {
        self.shared.in_flight.close();
        let timeout = self.shared.options.close_timeout;
        self.settled("close_timeout", timeout).await
    }
}
fn check(message: &Outgoing) -> Result<(), PublishError> {
    if let Some(to) = message.destination() {
        let why = format!("`to` = {to:?}: a spool has a single folder; leave `to` out");
        return Err(PublishError::refused(why));
    }
    // Before anything is written, so that a message without a file format is refused and does not count as unconfirmed.
    file::encode(message)
        .map(drop)
        .map_err(PublishError::refused)
}

/// One result for each message, in order. The names sort in the order of the messages.
fn write_all(
    folders: &Folders,
    names: &Names,
    messages: &[Outgoing],
) -> Vec<Result<(), PublishError>> {
    let written = messages
        .iter()
        .map(|message| write(folders, &names.next(), message));
    let mut results: Vec<_> = written.collect();
    // One sync makes all renames durable. If it fails, none of them is confirmed.
    if let Err(error) = File::open(folders.path("new", "")).and_then(|folder| folder.sync_all()) {
        for result in results.iter_mut().filter(|result| result.is_ok()) {
            *result = Err(io::Error::new(error.kind(), error.to_string()));
        }
    }
    let results = results.into_iter();
    results
        .map(|result| result.map_err(PublishError::unconfirmed))
        .collect()
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
        drop(fs::remove_file(&tmp)); // no reader looks there
    }
    moved
}

/// Makes names that sort in the order in which they were made, and that no other publisher makes.
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
        let mut last_ns = self.last_ns.lock().expect("no panic while it is locked");
        // The clock may stand still or be set back; names always move on.
        *last_ns = since_1970.unwrap_or_default().as_nanos().max(*last_ns + 1);
        format!("{last_ns:020}-{:016x}", self.publisher)
    }
}
