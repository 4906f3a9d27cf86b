//! Which messages are ours, and the thread that keeps them so.
//!
//! A delivery is in the table from the moment it was taken until it is settled, given back or found to be lost. Only who
//! takes an entry out of the table ends its message, so that a late result, or a second one, finds nothing to do.

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
    ack::{Ending, Token},
    config::Spool,
    folders::{Folders, Lease, in_ms},
};
use broadway::{
    BoxError,
    telemetry::{Emitter, Event},
};

/// The messages of one producer that are not settled.
pub(super) struct Leases {
    folders: Folders,
    lease: Duration,
    pause: Duration,
    held: Mutex<HashMap<Token, Lease>>,
    next: AtomicU64,
    generation: AtomicU64,
    producer: usize,
    emitter: Emitter,
    /// Dropped with the last who needs it: the keeper waits for that.
    _alive: Sender<()>,
}

impl Leases {
    /// An empty table, and the thread that keeps what will be in it: a task would share the runtime with handlers, and one that
    /// blocks its thread would cost the leases.
    pub(super) fn start(source: &Spool, producer: usize, emitter: &Emitter) -> Arc<Self> {
        let (alive, ended) = channel();
        let leases = Arc::new(Self {
            folders: source.folders.clone(),
            lease: source.lease,
            pause: source.pause,
            held: Mutex::default(),
            next: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            producer,
            emitter: emitter.clone(),
            _alive: alive,
        });
        let (kept, lease) = (Arc::downgrade(&leases), source.lease);
        drop(thread::spawn(move || keep(&kept, lease, &ended)));
        leases
    }

    pub(super) fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Takes a message; `None` if somebody else was quicker.
    pub(super) fn take(&self, name: &str) -> io::Result<Option<(Token, Lease)>> {
        let Some(lease) = self.folders.take(name, in_ms(self.lease))? else {
            return Ok(None);
        };
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed));
        self.table().insert(token, lease.clone());
        Ok(Some((token, lease)))
    }

    /// Does what is to be done, each by itself: one that fails holds up no other. Results of deliveries that are no longer
    /// ours are ignored.
    pub(super) fn end(&self, endings: &[(Token, Ending)]) -> Result<(), BoxError> {
        let mut failures = Vec::new();
        for (token, ending) in endings {
            let Some(lease) = self.table().remove(token) else {
                continue;
            };
            if let Err(error) = self.end_one(lease.clone(), *ending) {
                failures.push(format!("{}: {error}", lease.name()));
            }
        }
        // What is out of the table is not renewed: it comes again when its lease is over.
        let Some(first) = failures.first() else {
            return Ok(());
        };
        let (n, of) = (failures.len(), endings.len());
        Err(format!("{n} of {of} messages could not be settled and come again: {first}").into())
    }

    fn end_one(&self, mut lease: Lease, ending: Ending) -> io::Result<bool> {
        match ending {
            Ending::Delete => self.folders.delete(&lease),
            // A failed message is held by nobody for a while: no second mechanism, and it survives a crash.
            Ending::Again => self.folders.renew(&mut lease, in_ms(self.pause)),
            Ending::Aside => self.folders.put_aside(&lease),
            Ending::GiveBack => self.folders.give_back(&lease),
        }
    }

    /// Gives back what nobody has settled.
    pub(super) fn abandon(&self) -> Result<(), BoxError> {
        let tokens: Vec<_> = self.table().keys().copied().collect();
        let endings: Vec<_> = tokens
            .into_iter()
            .map(|token| (token, Ending::GiveBack))
            .collect();
        self.end(&endings)
    }

    /// Renews all. What is lost leaves the table, and the generation moves *after* that: who sees the new one finds it gone.
    fn renew(&self) {
        let tokens: Vec<_> = self.table().keys().copied().collect();
        let (mut lost, mut trouble) = (0, None);
        for token in tokens {
            // Under the lock, so that no one settles by a name that is being changed; for one rename at a time.
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
                Err(error) => trouble = Some(format!("a lease could not be renewed: {error}")),
            }
        }
        if lost > 0 {
            self.generation.fetch_add(1, Ordering::Release);
            trouble = Some(format!(
                "{lost} messages were lost: their lease was over; their results are ignored"
            ));
        }
        if let Some(error) = trouble {
            self.tell(&error);
        }
    }

    /// Trouble that the source deals with by itself.
    pub(super) fn tell(&self, error: &str) {
        let producer = self.producer;
        self.emitter.emit(&Event::SourceTrouble { producer, error });
    }

    /// How many messages there are that nobody has settled, taken ones too.
    pub(super) fn tell_lag(&self, messages: usize) {
        self.emitter.emit(&Event::Lag {
            producer: self.producer,
            part: "spool",
            messages: Some(messages.try_into().unwrap_or(u64::MAX)),
            oldest: None,
        });
    }

    /// The file of a message that is held.
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
        self.held.lock().expect("nobody panics with the table")
    }
}

/// Renews at a third of the lease, so that one round may be late or fail. Ends with the last user of the table.
fn keep(leases: &Weak<Leases>, lease: Duration, ended: &Receiver<()>) {
    while ended.recv_timeout(lease / 3) == Err(RecvTimeoutError::Timeout) {
        let Some(leases) = leases.upgrade() else {
            return;
        };
        leases.renew();
    }
}
