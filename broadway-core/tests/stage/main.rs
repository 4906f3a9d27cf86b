//! Stages at their public boundary, on paused time: one file for each topic.
#![allow(clippy::unwrap_used)]

mod buffer;
mod callbacks;
mod cancel;
mod common;
mod demand;
mod dispatchers;
mod messages;
mod pool;
mod random;
mod restart;
mod routing;
mod runtime;
mod streams;
mod subscriptions;
mod task_per_event;
mod telemetry;
