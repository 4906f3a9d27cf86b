//! Pure state machines: what the engine decides, without the engine.
//!
//! Nothing here knows a runtime, waits, or reads a clock. Values and `now` come in, decisions come
//! out, so that a million steps can be tested in a second and every rule can be read in one place.
//! The stages own the locks, the wakers and the timers around these machines.
//!
//! - [`dispatch`]: who gets which event of a link: any inlet, or one inlet per partition.
//! - [`lanes`]: a dispatch that keeps order per live key without tying keys to workers.
//! - [`batcher`]: open batches by key, closed by size, bytes, time, flush, a splitter, or a limit.

pub mod batcher;
pub mod dispatch;
pub mod lanes;
