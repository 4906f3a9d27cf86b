//! The engine of `broadway`: stages, pipelines, and the state machines that decide.
//!
//! Programs depend on the package `broadway-rs`, which re-exports all of this as `broadway`. Connectors depend on this one, which changes
//! less.
//!
//! ```text
//!              demand ▲            demand ▲               demand ▲
//!  Source ─opens─► Producer ═══► Processor ═══► Batcher ═══► BatchProcessor     messages, one way down
//!                     ▲           │ done / failed              │ done / failed
//!                     └─ settle ◄─┴────────────────────────────┘                settlement, straight home
//! ```
//!
//! A [`Source`] opens [`SourceProducer`]s, which deliver messages when they are asked. Processors call
//! [`Handler::handle_message`]; what it routes to a batcher is collected, by key, for [`Handler::handle_batch`]. When a
//! message ends, its [`Acknowledger`] gets back the token that the producer gave with it, once, with an [`Outcome`].
//!
//! ```
//! use broadway_core::{Batch, Batching, BoxError, Handler, Message, Next, OneBatcher, Pipeline, source};
//! use std::time::Duration;
//!
//! struct Parser;
//!
//! impl Handler for Parser {
//!     type In = &'static str;
//!     type Out = u64;
//!     type Batcher = OneBatcher;
//!
//!     async fn handle_message(&self, message: &mut Message<&'static str>) -> Result<Next<u64, OneBatcher>, BoxError> {
//!         Ok(Next::batch(OneBatcher, message.data().parse()?))
//!     }
//!
//!     async fn handle_batch(&self, _: OneBatcher, batch: &mut Batch<u64>) -> Result<(), BoxError> {
//!         println!("a batch of {}: {:?}", batch.len(), batch.data());
//!         Ok(())
//!     }
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let source = source::from_iter(|_producer| ["1", "2", "three", "4"]);
//! let topology = Pipeline::new(source, Parser)
//!     .batchers(|OneBatcher| Batching::new(2, Duration::from_millis(100)))
//!     .start()
//!     .await?;
//! let totals = topology.wait().await?;
//! assert_eq!((totals.done, totals.failed), (3, 1)); // "three" failed, alone
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run()).unwrap();
//! ```
//!
//! # Modules
//!
//! | module | what it is for |
//! |---|---|
//! | [`source`] | where messages come from: the traits, ready sources, adaptors |
//! | [`connector`] | what authors of connectors share |
//! | [`telemetry`] | what a topology tells about itself, and who listens |
//! | `testing` | the test kit (feature `testing`): sources and queues in memory, a recorder of events, faults |
//! | `message`, `ack`, `handler`, `batch`, `batcher_key`, `publisher`, `deadline`, `error` | the contract between users, connectors and engine; re-exported here |
//! | `pipeline` | source → processors → batchers → batch processors; [`Pipeline`], [`Topology`] |
//! | [`stage`] | producers and consumers linked by demand; below them links and loops, which pipelines run on too |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `tracing` | yes | `telemetry::TracingObserver`, which logs through the `tracing` crate |
//! | `metrics` | no | `telemetry::MetricsObserver`, which records through the `metrics` facade |
//! | `testing` | no | `testing`, the test kit |
//! | `conformance` | no | `testing::conformance`, the suite that connectors pass, and `testing::Proxy`; implies `testing` |
//! | `portable` | no | `portable`, for connectors: headers that a broker cannot represent |

#![doc(test(attr(deny(warnings), allow(dead_code))))]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod ack;
mod ack_now;
mod batch;
mod batcher_key;
mod caught;
mod chunk;
mod config_error;
pub mod connector;
mod deadline;
mod debug_as_display;
mod discard;
mod end;
mod engine;
mod error;
mod error_debug;
mod fatal;
mod handler;
mod header;
#[doc(hidden)]
pub mod machine;
mod message;
mod partition_key;
mod pipeline;
#[cfg(feature = "portable")]
#[cfg_attr(docsrs, doc(cfg(feature = "portable")))]
pub mod portable;
mod publish_error;
mod publisher;
mod rate_limit;
pub mod source;
pub mod stage;
mod sync;
mod task_id;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;

pub use ack::{Acknowledger, NoopAcknowledger, Outcome, Settled};
pub use batch::{Batch, BatchKey, Row, RowId, Trigger};
#[doc(hidden)]
pub use batcher_key::batcher_name;
pub use batcher_key::{BatcherKey, NoBatcher, OneBatcher};
pub use chunk::{Chunk, MessageMut};
pub use config_error::{Checks, ConfigError};
pub use deadline::Deadline;
pub use error::{BoxError, Callback, Problem, Reason, RunError, StartError};
pub use fatal::Fatal;
pub use handler::{DeadLetters, Failed, Handler, HandlerFn, Next, handler_fn, handler_fn_async};
pub use header::{Header, HeaderName, HeaderValue};
pub use machine::restart::{Intensity, RestartPolicy};
pub use message::{Message, NoAckOptions, Record};
pub use partition_key::{KeyHash, PartitionKey};
pub use pipeline::{
    BatcherDescription, Batching, Description, OnDrain, Pipeline, Processors, PushError, Pushed,
    Pusher, Receipt, Split, Topology, Totals,
};
pub use publish_error::{PublishError, PublishErrorKind};
pub use publisher::{BoxPublisher, Observed, Outgoing, Publisher};
pub use rate_limit::RateLimit;
pub use source::{BoxSource, Delivery, OpenContext, Produced, Source, SourceExt, SourceProducer};
