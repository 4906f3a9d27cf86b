//! RabbitMQ for broadway.

#[doc(hidden)]
pub mod bare;
mod connection;
