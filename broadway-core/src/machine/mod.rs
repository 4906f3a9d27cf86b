//! Pure state machines: what the engine decides, without the engine.
//!
//! Nothing here knows a runtime, waits, locks, logs or reads a clock. Values, `now` and random numbers come in, decisions
//! come out, so that a million steps can be tested in a second and every rule can be read in one place. The stages own the
//! locks, the wakers and the timers around these machines.
//!
//! - [`dispatch`]: who gets which event of a link: any inlet, every inlet, or one inlet per partition.
//! - [`lanes`]: a dispatch that keeps order per live key without tying keys to workers.
//! - [`buffer`]: a FIFO with a limit, filled by chunks and emptied by demand.
//! - [`credit`]: how much an outlet is asked for.
//! - [`chunk_size`]: how many messages a processor takes at once.
//! - [`batcher`]: open batches by key, closed by size, bytes, time, flush, a splitter, or a limit.
//! - [`batch_demand`]: how many due batches are sent, and how many stay open and grow.
//! - [`pool`]: when a pool of consumers grows and shrinks.
//! - [`task_slots`]: how much is asked for by who starts a task for each event.
//! - [`rate`]: how many messages may pass in a span of time.
//! - [`restart`]: when a failed producer is opened again.
//! - [`stop_signals`]: what a signal asks for.
//! - [`empty_deliveries`]: how long to wait after a producer returned nothing.
//! - [`stall_detector`]: whether a worker has been inside one call for too long.
//! - [`offsets`] and [`partitions`]: what may be committed of a log that is handled out of order.

pub mod batch_demand;
pub mod batcher;
pub mod buffer;
pub mod chunk_size;
pub mod credit;
pub mod dispatch;
pub mod empty_deliveries;
pub mod lanes;
pub mod offsets;
pub mod partitions;
pub mod pool;
pub mod rate;
pub mod restart;
pub mod stall_detector;
pub mod stop_signals;
pub mod task_slots;
