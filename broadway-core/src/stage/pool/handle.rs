//! [`PoolHandle`]: a running pool.

use std::{fmt, sync::Arc};

use tokio::sync::{mpsc, watch};

use super::manager::Order;
use crate::{
    machine::pool::{InvalidPool, Pool, PoolOptions},
    stage::{End, Output, StageStats, SubscribeError, farewell::Ended, stats::Counters},
};

/// A running pool of consumers of events of type `T`. Cheap to clone.
///
/// Dropping it does not stop the pool. But when no handle is left and all its producers have ended, the pool ends.
#[must_use = "a pool without a handle ends when its producers do: keep the handle, and wait for its end with `join`"]
pub struct PoolHandle<T> {
    name: Arc<str>,
    orders: mpsc::UnboundedSender<Order<T>>,
    size: watch::Receiver<usize>,
    counters: Arc<Counters>,
    ended: Ended,
}

impl<T: Send + 'static> PoolHandle<T> {
    pub(super) fn new(
        name: Arc<str>,
        orders: mpsc::UnboundedSender<Order<T>>,
        size: watch::Receiver<usize>,
        counters: Arc<Counters>,
        ended: Ended,
    ) -> Self {
        Self {
            name,
            orders,
            size,
            counters,
            ended,
        }
    }

    /// The name of the pool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many members it has: also those that are being started, but not those that were told to go.
    #[must_use]
    pub fn len(&self) -> usize {
        *self.size.borrow()
    }

    /// Whether it has no members. Then it is ending, or has ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets new bounds. Members are started, or finish their chunks and go, at once. Nothing changes if the pool has ended.
    ///
    /// # Errors
    ///
    /// `min` is 0, or above `max`. The bounds stay as they are.
    pub fn resize(&self, min: usize, max: usize) -> Result<(), InvalidPool> {
        Pool::new(PoolOptions::new(min, max))?;
        let _ = self.orders.send(Order::Bounds { min, max });
        Ok(())
    }

    /// Subscribes all members to an output, also those to come, beside those that they are subscribed to.
    ///
    /// # Errors
    ///
    /// An option that cannot work; the producer does not dispatch by demand; the pool has ended.
    pub fn subscribe(&self, output: &Output<T>) -> Result<(), SubscribeError> {
        output.check_for_pool()?;
        let sent = self.orders.send(Order::Subscribe(output.clone()));
        sent.map_err(|_| SubscribeError::ConsumerEnded)
    }

    /// Ends the pool as [`End::Shutdown`]: all members finish their chunks and go. Waits until they have. What was buffered for
    /// them stays with their producers.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the pool stops, also when this future is dropped.
    pub async fn stop(&self) -> End {
        // If nobody hears it, the pool has ended.
        let _ = self.orders.send(Order::Stop);
        self.join().await
    }

    /// Waits until the pool has ended, and tells how.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; may be called any number of times, also after the end.
    pub async fn join(&self) -> End {
        self.ended.join().await
    }

    /// How the pool ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.ended.end()
    }

    /// What all members together have done so far, also those that left.
    #[must_use]
    pub fn stats(&self) -> StageStats {
        self.counters.stats()
    }
}

impl<T> Clone for PoolHandle<T> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            orders: self.orders.clone(),
            size: self.size.clone(),
            counters: Arc::clone(&self.counters),
            ended: self.ended.clone(),
        }
    }
}

impl<T> fmt::Debug for PoolHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolHandle")
            .field("name", &self.name)
            .field("len", &*self.size.borrow())
            .field("end", &self.ended)
            .finish_non_exhaustive()
    }
}
