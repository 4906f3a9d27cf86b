//! [`FeedState`]: the state that a [`Feed`](super::Feed) shares with the producers and acknowledgers of its source.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize},
    },
};

use tokio::sync::watch;

use super::{
    delivery_log::{DeliveryLog, ProducerCall},
    fault_plan::FaultPlan,
};
use crate::error::BoxError;

/// The state that a feed and its producers share.
pub(super) struct FeedState<T> {
    pub(super) queue: Mutex<FeedQueue<T>>,
    pub(super) log: Mutex<DeliveryLog>,
    /// Changes with every call, push and settlement, to wake waiters.
    pub(super) changes: watch::Sender<u64>,
    pub(super) generation: AtomicU64,
    pub(super) redelivers: AtomicBool,
    pub(super) openings: AtomicUsize,
    pub(super) faults: FaultPlan,
}

/// The messages and failures that are still to be delivered.
pub(super) struct FeedQueue<T> {
    pub(super) entries: VecDeque<FeedEntry<T>>,
    pub(super) pushed: usize,
    pub(super) ended: bool,
}

pub(super) enum FeedEntry<T> {
    /// Messages that are delivered together, as far as demand allows.
    Together(VecDeque<(usize, T)>),
    /// The producer that reaches this entry fails.
    Failure(BoxError),
}

impl<T> FeedState<T> {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::new(FeedQueue {
                entries: VecDeque::new(),
                pushed: 0,
                ended: false,
            }),
            log: Mutex::new(DeliveryLog::default()),
            changes: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            redelivers: AtomicBool::new(false),
            openings: AtomicUsize::new(0),
            faults: FaultPlan::new(),
        }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, FeedQueue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, DeliveryLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notify(&self) {
        self.changes.send_modify(|moved| *moved += 1);
    }

    pub(super) fn record(&self, call: ProducerCall) {
        self.log().calls.push(call);
        self.notify();
    }

    /// Waits until `reached` returns a value.
    pub(super) async fn wait<R>(&self, mut reached: impl FnMut(&Self) -> Option<R>) -> R {
        let mut moved = self.changes.subscribe();
        loop {
            moved.borrow_and_update();
            if let Some(answer) = reached(self) {
                return answer;
            }
            moved.changed().await.expect("the sender is ours");
        }
    }
}
