//! [`Inbox`]: the requests that wait for a commit.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{block::EncodedRecords, log::PartitionLog, storage::Write, store::StoreInner};

/// A commit takes no more records beyond this size.
const COMMIT_BYTES: usize = 8 << 20;
/// The result of an append: the offset of the first record, or why it was not made.
pub(crate) type Appended = Result<u64, AppendError>;

/// Why records were not appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AppendError {
    /// The commit failed: the records may or may not be there when the folder is opened again.
    Failed(String),
    /// The store closes.
    Closed,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) => f.write_str(text),
            Self::Closed => f.write_str("the queue closes"),
        }
    }
}

/// Records for one partition.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) log: Arc<PartitionLog>,
    pub(crate) records: EncodedRecords,
    /// A caller that is gone wants nothing appended.
    pub(crate) done: oneshot::Sender<Appended>,
}

/// A callback that receives the result of a commit, on the commit thread.
pub(crate) struct Done(pub(super) Box<Callback>);

type Callback = dyn FnOnce(&StoreInner, Result<(), AppendError>) + Send;

impl Done {
    pub(crate) fn new(
        done: impl FnOnce(&StoreInner, Result<(), AppendError>) + Send + 'static,
    ) -> Self {
        Self(Box::new(done))
    }

    /// Sends the result to a receiver.
    pub(crate) fn channel() -> (Self, oneshot::Receiver<Result<(), AppendError>>) {
        let (sender, receiver) = oneshot::channel();
        // A receiver that is gone needs no result.
        let done = Self::new(move |_, result| drop(sender.send(result)));
        (done, receiver)
    }
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

/// What the commit thread is asked for.
#[derive(Debug)]
pub(crate) enum Request {
    Append(Append),
    /// Messages that are due later. They wait for space as others do.
    Delay {
        writes: Vec<Write>,
        /// A caller that is gone wants nothing written.
        done: oneshot::Sender<Result<(), AppendError>>,
    },
    /// Other writes, and records that must be appended in the same commit.
    Write {
        writes: Vec<Write>,
        appends: Vec<(Arc<PartitionLog>, EncodedRecords)>,
        done: Done,
    },
    /// Everything before is on the device, acknowledgements included.
    Flush(Done),
}

impl Request {
    /// Whether it adds messages, which need space.
    pub(super) const fn is_publishing(&self) -> bool {
        matches!(self, Self::Append(_) | Self::Delay { .. })
    }
}

/// Requests that wait for a commit.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    requests: Mutex<VecDeque<Request>>,
    changed: Condvar,
}

impl Inbox {
    pub(crate) fn push(&self, request: Request) {
        self.lock().push_back(request);
        self.changed.notify_one();
    }

    pub(crate) fn push_all(&self, requests: impl IntoIterator<Item = Request>) {
        self.lock().extend(requests);
        self.changed.notify_one();
    }

    /// Wakes the thread, so that it looks for changes.
    pub(crate) fn wake(&self) {
        // The thread holds the lock whenever it is not waiting, so it cannot miss this.
        drop(self.lock());
        self.changed.notify_one();
    }

    /// Waits until there is a request, or until the time. Takes requests up to the size of a commit.
    pub(super) fn take(&self, until: Option<Instant>, is_woken: impl Fn() -> bool) -> Vec<Request> {
        let mut requests = self.lock();
        while requests.is_empty() && !is_woken() {
            match until {
                None => {
                    requests = self
                        .changed
                        .wait(requests)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        break;
                    }
                    let waited = self.changed.wait_timeout(requests, left);
                    requests = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < COMMIT_BYTES
            && let Some(request) = requests.pop_front()
        {
            if let Request::Append(append) = &request {
                bytes += append.records.bytes();
            }
            taken.push(request);
        }
        taken
    }

    /// Waits for this time, or until the next request.
    pub(super) fn pause(&self, time: Duration) {
        let waited = self.changed.wait_timeout(self.lock(), time);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, VecDeque<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
