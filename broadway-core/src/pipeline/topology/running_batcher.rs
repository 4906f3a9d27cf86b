//! [`RunningBatcher`]: a batcher of a running topology, by its name.

use std::{fmt, time::Duration};

use super::{super::describe::BatcherDescription, TopologyState};
use crate::error::Problem;

/// A batcher of a running topology: changes its options, and flushes it. From [`Topology::batcher`](crate::Topology::batcher).
///
/// ```
/// # use broadway_core::{Batch, BoxError, Message, Next, Pipeline, source};
/// # use std::time::Duration;
/// # broadway_core::batchers! { enum Sink { Events } }
/// # struct Store;
/// # impl broadway_core::Handler for Store {
/// #     type In = u64;
/// #     type Out = u64;
/// #     type Batcher = Sink;
/// #     async fn handle_message(&self, message: &mut Message<u64>) -> Result<Next<u64, Sink>, BoxError> {
/// #         Ok(Next::batch(Sink::Events, *message.data()))
/// #     }
/// #     async fn handle_batch(&self, _: Sink, _: &mut Batch<u64>) -> Result<(), BoxError> { Ok(()) }
/// # }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let topology = Pipeline::new(source::idle(), Store).start().await?;
/// topology.batcher("events")?.set_size(500)?.set_timeout(Duration::from_millis(200))?;
///
/// assert_eq!(topology.describe().batchers[0].size, 500);
/// assert!(topology.batcher("event").unwrap_err().to_string().contains("only \"events\""));
/// # topology.drain().await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
/// ```
#[derive(Clone, Copy)]
pub struct RunningBatcher<'a> {
    pub(super) state: &'a TopologyState,
    pub(super) index: usize,
}

impl RunningBatcher<'_> {
    /// Returns its present options.
    #[must_use]
    pub fn describe(&self) -> BatcherDescription {
        self.state.live.batcher(self.index)
    }

    /// Changes how many messages a full batch has, as in [`Batching::new`](crate::Batching::new). Open batches that have as many
    /// or more are sent at once; the others grow up to the new size.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the size is not within 1 to 1,000,000, if it exceeds
    /// [`buffered_max`](crate::Batching::buffered_max), or if the topology has ended.
    pub fn set_size(&self, size: usize) -> Result<&Self, Problem> {
        self.change(|batcher| batcher.size = size)
    }

    /// Changes how long after its first message a batch is due, as in [`Batching::new`](crate::Batching::new). It applies to open
    /// batches, too: those that are due by the new timeout are sent when a batch processor is free for them.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the timeout is zero or the topology has ended.
    pub fn set_timeout(&self, timeout: Duration) -> Result<&Self, Problem> {
        self.change(|batcher| batcher.timeout = timeout)
    }

    /// Changes [`Batching::idle_timeout`](crate::Batching::idle_timeout), also for open batches. [`Duration::MAX`] turns it off. If
    /// it was off, the quiet periods of open batches begin now.
    ///
    /// # Errors
    ///
    /// Fails as [`set_timeout`](Self::set_timeout) does.
    pub fn set_idle_timeout(&self, timeout: Duration) -> Result<&Self, Problem> {
        self.change(|batcher| batcher.idle_timeout = timeout)
    }

    /// Changes how many batches are handled at once, as [`Batching::concurrency`](crate::Batching::concurrency). New batch processors
    /// take batches at once. Surplus ones end when they have handled and settled the batches that they hold; their waiting batches go
    /// to the others. Nothing is lost, and order is kept. Reported as [`Event::Resized`](crate::telemetry::Event::Resized).
    ///
    /// With [`partition_by`](crate::Processors::partition_by), more batch processors than
    /// [`partitions`](crate::Batching::partitions) help only batches of different batch keys.
    ///
    /// Has no effect during the end of the topology, when no batch is left for new ones.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the number is not within 1 to 65,536 or the topology has ended.
    pub fn set_concurrency(&self, concurrency: usize) -> Result<&Self, Problem> {
        let batcher = Some(self.describe().name);
        let from = self.state.live.resize_batcher(self.index, concurrency)?;
        self.state.report_resize(batcher, from, concurrency);
        Ok(self)
    }

    /// Sends the open batches of this batcher now, as [`Topology::flush`](crate::Topology::flush) does for all batchers. Returns how
    /// many.
    pub fn flush(&self) -> usize {
        self.state.live.flush(self.index)
    }

    fn change(&self, change: impl FnOnce(&mut BatcherDescription)) -> Result<&Self, Problem> {
        self.state.live.change_batcher(self.index, change)?;
        Ok(self)
    }
}

impl fmt::Debug for RunningBatcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunningBatcher")
            .field(&self.describe())
            .finish()
    }
}
