//! [`RetryQueue`]: items that wait for their next attempt, and the task that returns them to their link.

use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future;
use tokio::sync::Notify;

use super::{RetryItem, RetryPermit, RetryRoom, RetryTarget};
use crate::{
    ack::Acknowledger,
    engine::{
        clock,
        control::{ControlState, ControlWatcher},
    },
    machine::delay_queue::DelayQueue,
    pipeline::{context::ShutdownState, rate_limit::RateLimiter, settle::Acker},
};

/// Items that wait for their next attempt.
pub(in crate::pipeline) struct RetryQueue<T> {
    /// Each with the room that it takes.
    waiting: Mutex<DelayQueue<(RetryPermit, T)>>,
    /// Notified when the first item changes, and when one is added while waiting items are released.
    changed: Notify,
    pub(in crate::pipeline) room: Arc<RetryRoom>,
    budget: Option<RateLimiter>,
}

impl<T> RetryQueue<T> {
    pub(in crate::pipeline) fn new(room: &Arc<RetryRoom>, budget: Option<RateLimiter>) -> Self {
        Self {
            waiting: Mutex::new(DelayQueue::new()),
            changed: Notify::new(),
            room: Arc::clone(room),
            budget,
        }
    }

    /// Adds an item, which is detached from its link. `room` is for all of its messages.
    pub(in crate::pipeline) fn push(&self, item: T, room: RetryPermit, pause: Duration) {
        // A pause that the clock cannot add is as good as the longest one.
        let now = clock::now();
        let due = now.checked_add(pause).unwrap_or(now + FAR);
        self.lock().push(due, (room, item));
        self.changed.notify_one();
    }

    /// Returns items to their link when they are due. Never returns; the supervisor drops it.
    ///
    /// Once a drain has begun that releases messages, and all producers have stopped, it releases waiting items, and items that are added.
    pub(in crate::pipeline) async fn run<A>(
        &self,
        target: &dyn RetryTarget<T>,
        mut watcher: ControlWatcher,
        shutdown: Arc<ShutdownState>,
        mut acker: Acker<A>,
    ) where
        A: Acknowledger,
        T: RetryItem<A>,
    {
        // A source that is still read would deliver a released message again, to this topology. Until all have stopped, items that are due
        // go on: a producer may wait for the room that they take.
        let may_release = async {
            watcher.until(ControlState::releases).await;
            shutdown.wait_until_stopped().await;
        };
        future::select(pin!(may_release), pin!(self.restore_each(target))).await;
        loop {
            self.release(target, &mut acker).await;
            self.restore_due(target).await;
            self.wait().await;
        }
    }

    async fn restore_each(&self, target: &dyn RetryTarget<T>) {
        loop {
            self.restore_due(target).await;
            self.wait().await;
        }
    }

    /// Waits until the next item is due, or the first one changes.
    async fn wait(&self) {
        let next = self.lock().next_due();
        let left = next.map_or(Duration::MAX, |due| {
            due.saturating_duration_since(clock::now())
        });
        clock::within(left, self.changed.notified()).await;
    }

    /// Returns all items that are due, at the pace of the budget.
    async fn restore_due(&self, target: &dyn RetryTarget<T>) {
        loop {
            let (mut due, mut rooms, mut wait) = (Vec::new(), Vec::new(), None);
            {
                let (mut waiting, now) = (self.lock(), clock::now());
                while waiting.next_due().is_some_and(|due| due <= now) {
                    if let Some(budget) = &self.budget
                        && let Err(over) = budget.acquire(1)
                    {
                        wait = Some(over);
                        break;
                    }
                    let Some((room, item)) = waiting.pop_due(now) else {
                        break;
                    };
                    rooms.push(room);
                    due.push(item);
                }
            }
            target.restore(&mut due);
            // After they are back in their link.
            drop(rooms);
            match wait {
                None => return,
                Some(wait) => wait.over().await,
            }
        }
    }

    /// Releases all waiting messages that their source delivers again. The others go on waiting.
    async fn release<A>(&self, target: &dyn RetryTarget<T>, acker: &mut Acker<A>)
    where
        A: Acknowledger,
        T: RetryItem<A>,
    {
        let items: Vec<_> = self.lock().drain().collect();
        for (due, (mut room, mut item)) in items {
            let left = item.release(acker);
            room.shrink(left);
            if left > 0 {
                self.lock().push(due, (room, item));
                continue;
            }
            // Before the link may end: a topology that has ended owes no settlement. The acker has reported errors as events.
            let _ = acker.flush().await;
            target.end(item);
        }
        let _ = acker.flush().await;
    }

    fn lock(&self) -> MutexGuard<'_, DelayQueue<(RetryPermit, T)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The longest pause.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
