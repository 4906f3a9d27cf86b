//! RabbitMQ for broadway.

#[doc(hidden)]
pub mod bare;
mod connection;
mod publisher;

pub use broadway_core::ConfigError;
pub use publisher::{RabbitMqPublisher, RabbitMqPublisherBuilder};
