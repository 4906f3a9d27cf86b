//! The messages that this producer holds, and the thread that renews their leases.
//!
//! A delivery is in the table from the moment it was taken until it is settled, given back or found lost. Removing an entry from the
//! table is the right to end its message, so a late or second result finds nothing to do.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use super::{
    ack::{AckAction, Token},
    config::Spool,
    folders::{Folders, Lease, in_ms},
};
use broadway::{
    BoxError,
    connector::LagReporter,
    source::OpenContext,
    telemetry::{Emitter, Event},
};

/// The unsettled messages of one producer.
pub(super) struct Leases {
    folders: Folders,
    lease: Duration,
    pause: Duration,
    held: Mutex<HashMap<Token, Lease>>,
    next: AtomicU64,
    generation: AtomicU64,
    producer: usize,
    emitter: Emitter,
    lag: LagReporter,
    /// Dropped with the last user of the table: the thread waits for that.
    _alive: Sender<()>,
}

impl Leases {
    /// An empty table, and the thread that renews its leases. Not a task: a task shares the runtime with handlers, and a handler that
    /// blocks its thread would cost the leases.
    pub(super) fn start(source: &Spool, cx: &OpenContext) -> Arc<Self> {
        let (alive, ended) = channel();
        let leases = Arc::new(Self {
            folders: source.folders.clone(),
            lease: source.lease,
            pause: source.pause,
            held: Mutex::default(),
            next: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            producer: cx.producer(),
            emitter: cx.emitter().clone(),
            lag: LagReporter::new(cx),
            _alive: alive,
        });
        let (table, lease) = (Arc::downgrade(&leases), source.lease);
        drop(thread::spawn(move || renew_until(&ended, &table, lease)));
        leases
    }

    pub(super) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Takes a message. `None` if another consumer took it first.
    pub(super) fn take(&self, name: &str) -> io::Result<Option<(Token, Lease)>> {
        let Some(lease) = self.folders.take(name, in_ms(self.lease))? else {
            return Ok(None);
        };
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed));
        self.table().insert(token, lease.clone());
        Ok(Some((token, lease)))
    }

    /// Acknowledges each message on its own: one that fails does not stop the others. Ignores deliveries that this producer no longer
    /// holds.
    pub(super) fn acknowledge(&self, actions: &[(Token, AckAction)]) -> Result<(), BoxError> {
        let mut failures = Vec::new();
        for (token, action) in actions {
            let Some(lease) = self.table().remove(token) else {
                continue;
            };
            if let Err(error) = self.acknowledge_one(lease.clone(), *action) {
                failures.push(format!("{}: {error}", lease.name()));
            }
        }
        // A message that has left the table is not renewed, so it is delivered again when its lease expires.
        let Some(first) = failures.first() else {
            return Ok(());
        };
        let (n, of) = (failures.len(), actions.len());
        Err(
            format!("cannot settle {n} of {of} messages, which will be delivered again: {first}")
                .into(),
        )
    }

    fn acknowledge_one(&self, mut lease: Lease, action: AckAction) -> io::Result<bool> {
        match action {
            AckAction::Delete => self.folders.delete(&lease),
            // A lease that is not renewed is the pause: no second mechanism, and it survives a crash.
            AckAction::Retry => self.folders.renew(&mut lease, in_ms(self.pause)),
            AckAction::PutAside => self.folders.put_aside(&lease),
            AckAction::GiveBack => self.folders.give_back(&lease),
        }
    }

    /// Gives back all unsettled messages.
    pub(super) fn abandon(&self) -> Result<(), BoxError> {
        let tokens: Vec<_> = self.table().keys().copied().collect();
        let actions: Vec<_> = tokens
            .into_iter()
            .map(|token| (token, AckAction::GiveBack))
            .collect();
        self.acknowledge(&actions)
    }

    /// Renews all leases. A lost message leaves the table *before* the generation moves, so a reader of the new generation finds it
    /// gone.
    fn renew(&self) {
        let tokens: Vec<_> = self.table().keys().copied().collect();
        let (mut lost, mut problem) = (0, None);
        for token in tokens {
            // Under the lock, for one rename at a time: a settlement must not use a name while it changes.
            let mut table = self.table();
            let Some(lease) = table.get_mut(&token) else {
                continue;
            };
            match self.folders.renew(lease, in_ms(self.lease)) {
                Ok(true) => {}
                Ok(false) => {
                    table.remove(&token);
                    lost += 1;
                }
                Err(error) => problem = Some(format!("cannot renew a lease: {error}")),
            }
        }
        if lost > 0 {
            self.generation.fetch_add(1, Ordering::Release);
            problem = Some(format!(
                "the leases of {lost} messages expired; their results are ignored"
            ));
        }
        if let Some(error) = problem {
            self.report(&error);
        }
    }

    /// Reports an error that the source recovers from.
    pub(super) fn report(&self, error: &str) {
        let producer = self.producer;
        self.emitter.emit(&Event::source_error(producer, error));
    }

    /// Reports how many messages are unsettled, taken ones included.
    pub(super) fn report_lag(&self, messages: usize) {
        let messages = messages.try_into().unwrap_or(u64::MAX);
        self.lag.report("spool", Some(messages), None);
    }

    /// The name of a message that is held.
    pub(super) fn name(&self, token: Token) -> Option<String> {
        self.table()
            .get(&token)
            .map(|lease| lease.name().to_owned())
    }

    pub(super) fn is_held(&self, token: Token) -> bool {
        self.table().contains_key(&token)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Token, Lease>> {
        self.held
            .lock()
            .expect("no panic while the table is locked")
    }
}

/// Renews at a third of the lease, so that one round may be late or fail. Ends with the last user of the table.
fn renew_until(ended: &Receiver<()>, leases: &Weak<Leases>, lease: Duration) {
    while ended.recv_timeout(lease / 3) == Err(RecvTimeoutError::Timeout) {
        let Some(leases) = leases.upgrade() else {
            return;
        };
        leases.renew();
    }
}
