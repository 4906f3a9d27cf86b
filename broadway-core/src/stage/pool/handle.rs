//! [`PoolHandle`]: a running pool.

use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, watch};

use super::command::PoolCommand;
use crate::{
    machine::pool::{InvalidPool, Pool, PoolOptions},
    stage::{
        End, Output, StageStats, SubscribeError, exit_notifier::ExitWatcher, stats::StageCounters,
    },
};

/// A running pool of consumers of events of type `T`. Cheap to clone.
///
/// Dropping it does not stop the pool. A pool without handles ends when all its producers have ended.
#[must_use = "a pool without a handle ends when its producers do: keep the handle, and wait for its end with `join`"]
pub struct PoolHandle<T> {
    name: Arc<str>,
    commands: mpsc::UnboundedSender<PoolCommand<T>>,
    size: watch::Receiver<usize>,
    counters: Arc<StageCounters>,
    exit: ExitWatcher,
}

impl<T: Send + 'static> PoolHandle<T> {
    pub(super) fn new(
        name: Arc<str>,
        commands: mpsc::UnboundedSender<PoolCommand<T>>,
        size: watch::Receiver<usize>,
        counters: Arc<StageCounters>,
        exit: ExitWatcher,
    ) -> Self {
        Self {
            name,
            commands,
            size,
            counters,
            exit,
        }
    }

    /// Returns the name of the pool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of members, including those that are being started, but not those that were stopped.
    #[must_use]
    pub fn len(&self) -> usize {
        *self.size.borrow()
    }

    /// Returns whether the pool has no members: it is ending, or has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets new bounds. Members are started at once, or stopped once their current chunks are handled. Does nothing if the pool has
    /// ended.
    ///
    /// # Errors
    ///
    /// Fails if `min` is 0 or above `max`. The bounds stay as they are.
    pub fn resize(&self, min: usize, max: usize) -> Result<(), InvalidPool> {
        Pool::new(PoolOptions::new(min, max))?;
        let _ = self.commands.send(PoolCommand::SetBounds { min, max });
        Ok(())
    }

    /// Subscribes all members, also future ones, to another output.
    ///
    /// # Errors
    ///
    /// Fails if an option is invalid, the producer does not dispatch by demand, or the pool has ended.
    pub fn subscribe(&self, output: &Output<T>) -> Result<(), SubscribeError> {
        output.check_for_pool()?;
        let sent = self.commands.send(PoolCommand::Subscribe(output.clone()));
        sent.map_err(|_| SubscribeError::ConsumerEnded)
    }

    /// Ends the pool as [`End::Shutdown`]: all members finish their current chunks and end. Waits until they have. Events that were
    /// buffered for them stay with their producers.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the pool stops, even if this future is dropped.
    pub async fn stop(&self) -> End {
        // Fails if the pool has ended.
        let _ = self.commands.send(PoolCommand::Stop);
        self.join().await
    }

    /// Waits until the pool has ended, and returns how. May be called any number of times, also after the end.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn join(&self) -> End {
        self.exit.join().await
    }

    /// Returns how the pool ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.exit.end()
    }

    /// Returns the counts of all members together, including those that ended.
    #[must_use]
    pub fn stats(&self) -> StageStats {
        self.counters.stats()
    }
}

impl<T> Clone for PoolHandle<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            commands: self.commands.clone(),
            size: self.size.clone(),
            counters: Arc::clone(&self.counters),
            exit: self.exit.clone(),
        }
    }
}

impl<T> fmt::Debug for PoolHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle")
            .field("name", &self.name)
            .field("len", &*self.size.borrow())
            .field("end", &self.exit)
            .finish_non_exhaustive()
    }
}
