//! Google Cloud Pub/Sub for broadway.

mod ack;
mod config;
mod confirm;
mod connect;
mod held;
mod minder;
mod names;
mod options;
mod pulse;
mod record;
mod source;
mod stream;

pub use ack::{PubSubAcknowledger, Token};
pub use broadway_core::ConfigError;
pub use config::{Create, PubSub};
pub use options::{AckOptions, OnFailure, OnSuccess};
pub use record::PubSubRecord;
pub use source::PubSubProducer;
