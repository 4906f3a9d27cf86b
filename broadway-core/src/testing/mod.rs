//! The test kit: for your handlers, your sources, and the engine itself.
//!
//! - [`manual_source`] returns a source and the [`Feed`] that fills it. Each message has a [`Receipt`](crate::Receipt);
//!   the feed finds messages that are settled twice or never, and can make messages stale. If you only need to put
//!   messages into a pipeline, use [`Topology::push`](crate::Topology::push) with
//!   [`source::idle`](crate::source::idle).
//! - [`MemoryQueue`] is an in-memory queue of records that behaves as a broker does: failed messages are delivered again, a
//!   limited number of times, and the queue records how each message ended. The connectors' `testing` modules build
//!   records for it.
//! - [`Recorder`] is an observer of pipelines and stages that records events and waits for them.
//! - [`Faults`] makes any handler fail, panic or hang at a chosen call; a [`FaultPlan`] specifies which. A feed has one
//!   too.
//! - [`Reader`] holds one producer without an engine, for tests of a connector.
//! - [`RecordingPublisher`] is a publisher that records the messages it is sent.
//! - [`Collector`] is a list that handlers append to and tests wait for; [`assert_order_per_key`] and [`drained`] check
//!   how a run ended.
//!
//! Nothing here sleeps: every wait is for an event, so tests run at full speed. With `#[tokio::test(start_paused =
//! true)]` timeouts and rate limits take no time at all.
//!
//! ```
//! use broadway_core::{Message, Pipeline, handler_fn, testing};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let (source, feed) = testing::manual_source::<u64>();
//! let handler = handler_fn(|message: &mut Message<u64>| match message.data() {
//!     13 => Err("unlucky".into()),
//!     _ => Ok(()),
//! });
//! let topology = Pipeline::new(source, handler).start().await?;
//!
//! let (lucky, unlucky) = (feed.push(12), feed.push(13));
//! assert!(lucky.outcome().await.is_some_and(|outcome| outcome.is_done()));
//! assert!(unlucky.outcome().await.is_some_and(|outcome| outcome.is_failed()));
//!
//! feed.end();
//! topology.wait().await?;
//! feed.assert_settled_once();
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
//! ```

mod collector;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
mod delivery_log;
mod ends;
mod fault_plan;
mod faults;
mod feed;
mod feed_state;
mod fields;
mod manual_source;
#[cfg(feature = "conformance")]
mod proxy;
mod queue;
mod reader;
mod recorder;
mod recording_publisher;

#[cfg(feature = "conformance")]
#[doc(inline)]
pub use crate::__conformance as conformance;
pub use collector::Collector;
pub use delivery_log::{FeedToken, ProducerCall};
pub use ends::{assert_order_per_key, drained};
pub use fault_plan::{Fault, FaultPlan};
pub use faults::Faults;
pub use feed::Feed;
pub use manual_source::{ManualAcknowledger, ManualProducer, ManualSource, manual_source};
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub use proxy::Proxy;
pub use queue::{
    MakeRecord, MemoryQueue, MemoryQueueAcknowledger, MemoryQueueProducer, MemoryQueueSource,
    QueueEnd,
};
pub use reader::{Reader, Received};
pub use recorder::{RecordedEvent, Recorder};
pub use recording_publisher::RecordingPublisher;
