//! The engine room: what pipelines and stages both run on.
//!
//! - [`link`]: outlets and inlets over a shared queue, with demand and back-pressure.
//! - [`actor`]: the one loop that every task runs. Wait for the next event, then handle it.
//! - [`inline_task`], [`inline_guard`]: run a producer's loop on the thread of the processor that takes from it.
//! - [`spawn`]: starts tasks, waits for them, and reports how they ended.
//! - [`control`]: the state that everyone watches: run, pause, drain, abort.
//! - [`watchdog`]: reports handlers that block their thread.
//! - [`clock`], [`signal`], [`runtime`]: time, operating-system signals, and the tokio runtime.
//!
//! Nothing here knows pipelines or stages; `tests/tidy` checks it. Tasks are spawned and `select!` is written in this folder only.

pub(crate) mod actor;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod inline_guard;
#[cfg(test)]
mod inline_guard_tests;
pub(crate) mod inline_task;
pub(crate) mod link;
#[cfg(test)]
mod link_waking;
pub(crate) mod runtime;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod watchdog;
