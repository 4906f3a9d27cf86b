//! The core of `broadway`: the traits that sources, publishers and handlers implement, pipelines, and stages.
//!
//! Programs depend on the package `broadway-rs`, whose crate `broadway` re-exports this one by topic. Connectors depend on this crate,
//! which changes less.
//!
//! ```text
//!              demand ▲            demand ▲               demand ▲
//!  Source ─opens─► Producer ═══► Processor ═══► Batcher ═══► BatchProcessor     messages
//!                     ▲           │ done / failed              │ done / failed
//!                     └─ settle ◄─┴────────────────────────────┘                acknowledgements
//! ```
//!
//! A [`Source`] opens [`SourceProducer`]s, which deliver messages on demand. Processors call [`Handler::handle_message`]; messages that
//! it routes to a batcher are collected by key for [`Handler::handle_batch`]. When a message ends, its [`Acknowledger`] receives the
//! token that the producer delivered with it, once, with an [`Outcome`].
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
//! | module | contents |
//! |---|---|
//! | [`source`] | the traits of sources, sources from iterators and streams, adaptors |
//! | [`layer`] | handlers around a handler: timeouts, a circuit breaker, quotas per key, deduplication |
//! | [`connector`] | tools for authors of connectors |
//! | [`dead_letter`] | what a dead letter carries, and how to read it |
//! | [`replay`] | listing dead letters, and sending them again |
//! | [`telemetry`] | events and their observers: logs, metrics, a summary table |
//! | `testing` | the test kit (feature `testing`): sources and queues in memory, a recorder of events, faults |
//! | [`stage`] | producers and consumers that are connected by demand |
//!
//! The root holds everything else: messages, handlers, batches, publishers and errors, and [`Pipeline`] with its options and
//! [`Topology`].
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
mod causes;
mod chunk;
mod config_error;
pub mod connector;
pub mod dead_letter;
mod deadline;
mod debug_as_display;
mod discard;
mod end;
mod engine;
mod error;
mod error_debug;
mod failure;
mod fatal;
mod handler;
mod header;
pub mod layer;
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
pub mod replay;
mod running;
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
pub use failure::{
    ClassifiedError, Classify, ErrorClass, FailureAction, FailurePolicy, Retry, permanent, poison,
    postpone, transient,
};
pub use fatal::Fatal;
pub use handler::{DeadLetters, Failed, Handler, HandlerFn, Next, handler_fn, handler_fn_async};
pub use header::{Header, HeaderName, HeaderValue};
pub use layer::HandlerExt;
pub use machine::restart::{Intensity, RestartPolicy};
pub use message::{Message, NoAckOptions, Record};
pub use partition_key::{KeyHash, PartitionKey};
pub use pipeline::{
    BatcherDescription, Batching, Description, OnDrain, Pipeline, Processors, PushError, Pushed,
    Pusher, Receipt, RunningBatcher, SourceDescription, Split, Topology, Totals,
};
pub use publish_error::{PublishError, PublishErrorKind};
pub use publisher::{BoxPublisher, Observed, Outgoing, Publisher};
pub use rate_limit::RateLimit;
pub use running::{Pause, RunningPipeline};
pub use source::{BoxSource, Delivery, OpenContext, Produced, Source, SourceExt, SourceProducer};
