//! The two halves that the engine holds: [`Spool`] opens producers, [`SpoolProducer`] delivers.

use std::{collections::VecDeque, fs, io, num::NonZeroUsize, sync::Arc, time::Duration};

use broadway::{
    BoxError, ConfigError, Delivery, OpenContext, Problem, Produced, Source, SourceProducer,
    telemetry::MessageInfo,
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep_until, timeout},
};

use super::{
    ack::{SpoolAcknowledger, Token},
    blocking::{blocking, in_plain_words},
    config::Spool,
    fetch::{Undelivered, fetch},
    folders::Folders,
    leases::Leases,
    record::SpoolRecord,
};

/// How long the first look at the folder may take: a network file system may never answer.
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
        timeout(
            OPEN_TIMEOUT,
            blocking({
                let folders = folders.clone();
                move || try_out(&folders)
            }),
        )
        .await
        .map_err(|_| format!("`folder` = {root} does not answer within {OPEN_TIMEOUT:?}"))??
        .map_err(|error| {
            format!(
                "`folder` = {root} cannot be used: {error}; make it, or let this user write to it"
            )
        })?;
        let leases = Leases::start(self, cx.producer(), cx.emitter());
        Ok(SpoolProducer {
            acknowledger: Arc::new(SpoolAcknowledger::new(leases.clone(), self.on_failure)),
            ready: Undelivered::none(&leases),
            leases,
            names: VecDeque::new(),
            fetching: None,
            poll: self.poll,
            look_at: Instant::now(),
        })
    }
}

/// Does once what will be done all the time, so that a missing permission is found now.
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

/// A look at the folder comes back with the list that it went with.
type Fetching = JoinHandle<(VecDeque<String>, io::Result<Undelivered>)>;

/// Delivers what is in the folder, as much as it is asked for and no more.
pub struct SpoolProducer {
    acknowledger: Arc<SpoolAcknowledger>,
    leases: Arc<Leases>,
    /// What a fetch brought and nobody has asked for yet.
    ready: Undelivered,
    /// What was in `new/` when it was last listed, and has not been tried.
    names: VecDeque<String>,
    fetching: Option<Fetching>,
    poll: Duration,
    look_at: Instant,
}

impl SourceProducer for SpoolProducer {
    type Item = SpoolRecord;
    type Acknowledger = SpoolAcknowledger;

    fn acknowledger(&self) -> Arc<SpoolAcknowledger> {
        self.acknowledger.clone()
    }

    /// For logs: the file and the hash of its key.
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
                sleep_until(self.look_at).await;
                self.begin_fetch(demand.get());
            }
            self.end_fetch().await?;
        }
        Ok(Produced::More)
    }

    async fn stop(&mut self) {
        // What a fetch on its way brings is dropped with the rest, and so given back.
        if self.fetching.is_some() && self.end_fetch().await.is_err() {
            self.leases.tell("the last look at the folder failed");
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

    /// Waits for the fetch on its way. Cancel safe: until it has ended its handle stays here, and afterwards nothing is
    /// awaited before what it brought is in `ready`.
    async fn end_fetch(&mut self) -> Result<(), BoxError> {
        let Some(fetching) = &mut self.fetching else {
            return Ok(());
        };
        let ended = fetching.await;
        self.fetching = None;
        let (names, fetched) = ended.map_err(|error| in_plain_words(&error))?;
        self.names = names;
        self.ready = fetched?;
        if self.ready.is_empty() && self.names.is_empty() {
            self.look_at = Instant::now() + self.poll;
        }
        Ok(())
    }
}
