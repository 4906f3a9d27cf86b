//! The engine: what pipelines and stages both run on.
//!
//! - [`link`]: outlets and inlets over a shared queue, with demand and back-pressure.
//! - [`actor`]: the one loop that every task runs. It waits for the next event, then handles it.
//! - [`pull_inlet`], [`lending`]: processors take from a link, or poll a producer that its task has lent to them.
//! - [`spawn`]: starts tasks, waits for them, and reports how they ended.
//! - [`control`]: the state that all tasks of a topology watch: paused, draining, aborted.
//! - [`headcount`], [`task_ids`]: how many workers there should be, and the tasks that are theirs.
//! - [`watchdog`]: reports handlers that block their thread.
//! - [`clock`], [`signal`], [`runtime`]: time, operating-system signals, and the tokio runtime.
//!
//! The engine knows neither pipelines nor stages. Tasks are spawned and `select!` is written only here and in `stage/`.
//! `tests/tidy` checks both.

pub(crate) mod actor;
pub(crate) mod call_set;
pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod headcount;
pub(crate) mod lending;
pub(crate) mod link;
#[cfg(test)]
mod link_waking;
pub(crate) mod pull_inlet;
pub(crate) mod runtime;
pub(crate) mod signal;
pub(crate) mod spawn;
pub(crate) mod task_ids;
pub(crate) mod watchdog;
