//! What the callback of a queue touches: [`QueueSignal`]. Safe code, but subject to a rule of librdkafka: the callback runs with the
//! queue's lock held, so it must take no lock that is ever held around a call into librdkafka.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::Thread,
};

use tokio::sync::Notify;

/// The task or thread to wake when a queue is no longer empty.
pub(crate) enum WakeTarget {
    /// The producer, which waits in `produce`.
    Producer(Arc<Notify>),
    /// The member's thread, which is parked.
    Thread(Thread),
}

impl WakeTarget {
    fn wake(&self) {
        match self {
            Self::Producer(notify) => notify.notify_one(),
            Self::Thread(thread) => thread.unpark(),
        }
    }
}

/// Whether a queue may have something to read, and the target to wake.
pub(crate) struct QueueSignal {
    ready: AtomicBool,
    target: WakeTarget,
}

impl QueueSignal {
    pub(crate) fn new(target: WakeTarget) -> Arc<Self> {
        Arc::new(Self {
            ready: AtomicBool::new(true),
            target,
        })
    }

    /// Reports that there may be something to read, and wakes the target.
    pub(crate) fn raise(&self) {
        self.ready.store(true, Ordering::Release);
        self.target.wake();
    }

    /// Clears the flag and returns whether it was set. The caller must then read until the queue is empty, or set the flag again with
    /// [`keep`](Self::keep): the callback comes only when a queue stops being empty.
    pub(crate) fn take(&self) -> bool {
        // A load first: most partitions are idle in most rounds, and a load does not claim the cache line.
        self.ready.load(Ordering::Relaxed) && self.ready.swap(false, Ordering::AcqRel)
    }

    /// Sets the flag without waking.
    pub(crate) fn keep(&self) {
        self.ready.store(true, Ordering::Release);
    }
}
