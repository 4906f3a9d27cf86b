//! The RabbitMQ connector against a real broker: `scripts/brokers up rabbitmq`. One program, because each one is linked on its own.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod admission;
mod blocked_thread;
mod common;
mod headers;
mod kinds;
mod lag;
mod pipeline;
mod publishing;
mod reading;
mod recovery;
mod refused;
mod tls;
mod unreadable;
