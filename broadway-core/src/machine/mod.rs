//! Pure state machines: what the engine decides, without the engine.
//!
//! This module is an implementation detail. It is public for the project's own connectors and tests, and carries no
//! promise of stability. The types that programs need are re-exported where they are used:
//! [`RestartPolicy`](crate::RestartPolicy), [`Trigger`](crate::Trigger), and the dispatchers in
//! [`stage::dispatch`](crate::stage::dispatch).
//!
//! No machine knows a runtime, waits, locks, logs or reads a clock. Values, `now` and random numbers come in, decisions
//! come out, so that a million steps can be tested in a second and every rule stands in one place. The engine,
//! pipelines and stages own the locks, wakers and timers around the machines.
//!
//! - [`dispatch`]: which inlet of a link gets which event: any inlet, every inlet, or one inlet per partition.
//! - [`lanes`]: a dispatcher that keeps order per live key without tying keys to workers.
//! - [`digest`]: a short name for bytes, the same in every process.
//! - [`buffer`]: a FIFO with a limit, filled by chunks and emptied by demand.
//! - [`credit`]: how many messages a consumer requests.
//! - [`link_bound`]: how many messages a link requests, where the link bounds them.
//! - [`chunk_size`]: how many messages a processor takes at once.
//! - [`batcher`]: open batches by key, closed by size, bytes, time, flush, a splitter, or a limit.
//! - [`batch_demand`]: how many due batches are sent, and how many stay open and grow.
//! - [`autoscale`]: how many processors there should be.
//! - [`pool`]: when a pool of consumers grows and shrinks.
//! - [`task_slots`]: how many events a consumer with a task per event requests.
//! - [`rate`]: how many messages may pass in a span of time.
//! - [`delay_queue`]: messages that wait to be handled again.
//! - [`quota`]: a rate for each key, in bounded memory.
//! - [`circuit`]: when calls of a downstream pass, and when they wait because it is out.
//! - [`recent`]: the ids of the last while.
//! - [`retry`]: when a failed message is handled again.
//! - [`restart`]: when a failed producer is opened again.
//! - [`stop_signals`]: what a signal requests.
//! - [`empty_deliveries`]: how long to wait after a producer returned no messages.
//! - [`stall_detector`]: whether a worker has been inside one call for too long.
//! - [`bit_ring`]: a sliding set of numbers.
//! - [`offsets`] and [`partitions`]: which offset of a log may be committed when messages are settled out of order.

pub mod autoscale;
pub mod batch_demand;
pub mod batcher;
pub mod bit_ring;
pub mod buffer;
pub mod chunk_size;
pub mod circuit;
pub mod credit;
pub mod delay_queue;
pub mod digest;
pub mod dispatch;
pub mod empty_deliveries;
pub mod lanes;
pub mod link_bound;
pub mod offsets;
pub mod partitions;
pub mod pool;
pub mod quota;
pub mod rate;
pub mod recent;
pub mod restart;
pub mod retry;
pub mod stall_detector;
pub mod stop_signals;
pub mod task_slots;
