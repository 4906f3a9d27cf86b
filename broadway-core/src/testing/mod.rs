//! A kit to test pipelines with: your handlers, your sources, and this engine itself.
//!
//! - [`manual_source`] gives a source and the [`Feed`] that fills it: each message with a [`Receipt`](crate::Receipt), a ledger that
//!   catches what is settled twice or never, and messages that turn stale. If all you need is to put messages into a pipeline,
//!   [`Topology::push`](crate::Topology::push) with [`source::idle`](crate::source::idle) is enough.
//! - [`Queue`] is a queue of records in memory that behaves as a broker does: what fails comes again, a bounded number of times, and
//!   it knows how each message ended. The connectors' `testing` modules make records for it.
//! - [`Recorder`] is an observer, of pipelines and of stages, that keeps what it heard and waits for what is to come.
//! - [`Faults`] makes any handler fail, panic or hang at a chosen call; a [`FaultPlan`] says when. A feed has one too.
//! - [`Reader`] holds one producer without an engine, for tests of a connector.
//! - [`RecordingPublisher`] is a publisher that keeps what it is given.
//! - [`Collector`] is a list that handlers write and tests wait for; [`assert_order_per_key`] and [`drained`] check ends.
//!
//! Nothing here sleeps: all waiting is for something to happen, so tests run at full speed, and with
//! `#[tokio::test(start_paused = true)]` time-outs and rate limits take no time at all.
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
pub use queue::{MakeRecord, Queue, QueueAcknowledger, QueueEnd, QueueProducer, QueueSource};
pub use reader::{Reader, Received};
pub use recorder::{RecordedEvent, Recorder};
pub use recording_publisher::RecordingPublisher;
