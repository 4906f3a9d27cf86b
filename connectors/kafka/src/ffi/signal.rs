//! Safe, and here because it is what the callback of a queue touches: it may take no lock that is held around a call into
//! librdkafka.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::Thread,
};

use tokio::sync::Notify;

/// Who wants to know that a queue is no longer empty.
pub(crate) enum Bell {
    /// The producer, which waits in `produce`.
    Producer(Arc<Notify>),
    /// The member's thread, which is parked.
    Thread(Thread),
}

impl Bell {
    pub(crate) fn ring(&self) {
        match self {
            Self::Producer(notify) => notify.notify_one(),
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

/// Whether there may be something in a queue, and whom to tell.
pub(crate) struct Signal {
    ready: AtomicBool,
    bell: Bell,
}

impl Signal {
    pub(crate) fn new(bell: Bell) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(true),
            bell,
        })
    }

    /// There may be something to read now.
    pub(crate) fn raise(&self) {
        self.ready.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Takes the flag down; whoever does that must read until the queue is empty, or put it up again.
    pub(crate) fn take(&self) -> bool {
        // A load first: most partitions of most rounds are idle, and a load doesn't claim the cache line.
        self.ready.load(Ordering::Relaxed) && self.ready.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn keep(&self) {
        self.ready.store(true, Ordering::Release);
    }
}
