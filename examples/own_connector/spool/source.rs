//! [`Spool`] opens producers, and [`SpoolProducer`] delivers messages.

use std::{collections::VecDeque, fs, io, num::NonZeroUsize, sync::Arc, time::Duration};

use broadway::{
    BoxError,
    connector::{ConnectorError, Deadline},
    error::{ConfigError, Problem},
    source::{Delivery, OpenContext, Produced, Source, SourceProducer},
    telemetry::MessageInfo,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until},
};

use super::{
    ack::{SpoolAcknowledger, Token},
    blocking::{blocking, task_failed},
    config::Spool,
    fetch::{Undelivered, fetch},
    folders::Folders,
    leases::Leases,
    record::SpoolRecord,
};

/// Limits the first access to the folder: a network file system may never answer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

impl Source for Spool {
    type Producer = SpoolProducer;

    fn check(&self) -> Vec<Problem> {
        self.problems()
    }

    async fn open(&self, cx: &OpenContext) -> Result<SpoolProducer, BoxError> {
        ConfigError::check("the spool source", self.problems())?;
        let folders = self.folders.clone();
        let root = folders.root().display();
        let tried = blocking({
            let folders = folders.clone();
            move || try_out(&folders)
        });
        let tried = Deadline::after(OPEN_TIMEOUT).within(tried).await;
        let no_answer = || {
            let text = format!("`folder` = {root} does not answer within {OPEN_TIMEOUT:?}");
            ConnectorError::transient(text)
        };
        tried.ok_or_else(no_answer)??.map_err(|error| {
            let text = format!(
                "cannot use `folder` = {root}: {error}; create it, or let this user write to it"
            );
            match error.kind() {
                io::ErrorKind::PermissionDenied => ConnectorError::auth(text),
                _ => ConnectorError::permanent(text),
            }
        })?;
        let leases = Leases::start(self, cx);
        Ok(SpoolProducer {
            acknowledger: Arc::new(SpoolAcknowledger::new(leases.clone(), self.on_failure)),
            ready: Undelivered::none(&leases),
            leases,
            names: VecDeque::new(),
            fetching: None,
            poll: self.poll,
            next_poll: Instant::now(),
        })
    }
}

/// Does once what the producer will do all the time, so that a missing permission fails the start.
fn try_out(folders: &Folders) -> io::Result<()> {
    folders.create()?;
    let name = format!(
        ".try-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let (new, taken) = (folders.path("new", &name), folders.path("taken", &name));
    fs::write(&new, "")?;
    fs::rename(&new, &taken)?;
    fs::remove_file(&taken)
}

/// A running fetch. It returns the list of names that it was given.
type Fetching = JoinHandle<(VecDeque<String>, io::Result<Undelivered>)>;

/// Delivers messages of the folder, never more than the demand.
pub struct SpoolProducer {
    acknowledger: Arc<SpoolAcknowledger>,
    leases: Arc<Leases>,
    /// Fetched and not delivered yet.
    ready: Undelivered,
    /// Names that the last listing of `new/` found and that were not tried yet.
    names: VecDeque<String>,
    fetching: Option<Fetching>,
    poll: Duration,
    next_poll: Instant,
}

impl SourceProducer for SpoolProducer {
    type Item = SpoolRecord;
    type Acknowledger = SpoolAcknowledger;

    fn acknowledger(&self) -> Arc<SpoolAcknowledger> {
        self.acknowledger.clone()
    }

    /// For logs: the file name and the hash of its key.
    fn describe(record: &SpoolRecord) -> MessageInfo {
        MessageInfo::of_record(record)
    }

    async fn produce(
        &mut self,
        demand: NonZeroUsize,
        out: &mut Vec<Delivery<SpoolRecord, Token>>,
    ) -> Result<Produced, BoxError> {
        while self.ready.deliver(demand.get(), out) == 0 {
            if self.fetching.is_none() {
                sleep_until(self.next_poll).await;
                self.begin_fetch(demand.get());
            }
            self.end_fetch().await?;
        }
        Ok(Produced::More)
    }

    async fn stop(&mut self) {
        // The messages of a running fetch are dropped with the others, and so given back.
        if self.fetching.is_some() && self.end_fetch().await.is_err() {
            self.leases.report("the last fetch failed");
        }
        self.names.clear();
        self.ready = Undelivered::none(&self.leases);
    }

    async fn close(mut self) -> Result<(), BoxError> {
        self.stop().await;
        let leases = Arc::clone(&self.leases);
        blocking(move || leases.abandon()).await?
    }
}

impl SpoolProducer {
    fn begin_fetch(&mut self, demand: usize) {
        let leases = Arc::clone(&self.leases);
        let mut names = std::mem::take(&mut self.names);
        self.fetching = Some(spawn_blocking(move || {
            let fetched = fetch(&leases, &mut names, demand);
            (names, fetched)
        }));
    }

    /// Waits for the running fetch. Cancel safe: the handle stays in `self` until the fetch has ended, and after that nothing is awaited
    /// before its messages are in `ready`.
    async fn end_fetch(&mut self) -> Result<(), BoxError> {
        let Some(fetching) = &mut self.fetching else {
            return Ok(());
        };
        let ended = fetching.await;
        self.fetching = None;
        let (names, fetched) = ended.map_err(|error| task_failed(&error))?;
        self.names = names;
        self.ready = fetched?;
        if self.ready.is_empty() && self.names.is_empty() {
            self.next_poll = Instant::now() + self.poll;
        }
        Ok(())
    }
}
