//! The engine of broadway.

mod ack;
mod ack_now;
mod batch;
mod batcher_key;
mod chunk;
mod error;
mod handler;
pub mod machine;
mod message;
mod pipeline;
pub mod source;
mod stage;
mod sync;
pub mod telemetry;
pub mod testing;

pub use ack::{Acknowledger, NoopAcknowledger, Outcome, Settled};
pub use batch::{Batch, BatchKey, Trigger};
#[doc(hidden)]
pub use batcher_key::batcher_name;
pub use batcher_key::{BatcherKey, NoBatcher, OneBatcher};
pub use chunk::Chunk;
pub use error::{BoxError, Callback, Problem, Reason, RunError, StartError};
pub use handler::{Failed, Handler, HandlerFn, Next, handler_fn, handler_fn_async};
pub use message::{Message, NoAckOptions, Record};
pub use pipeline::{
    BatcherDescription, Batching, Description, Pipeline, Processors, PushError, Receipt, Split,
    Topology, Totals,
};
pub use source::{Delivery, OpenContext, Produced, Producer, Source, SourceExt};
