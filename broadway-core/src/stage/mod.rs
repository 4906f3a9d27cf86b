//! What moves data between tasks, and who starts them: the only place where tasks are spawned.
//!
//! - [`link`]: outlets and inlets over a shared hub, by which messages go down and demand goes up.
//! - [`control`]: the one word that is said to producers from above: run, pause, drain.
//! - [`supervise`]: spawns loops by name and tells how they ended.
//! - [`timer`]: the clock of the engine, and sleeping by it.

pub(crate) mod control;
pub(crate) mod link;
#[cfg(test)]
mod link_waking;
pub(crate) mod signal;
pub(crate) mod supervise;
pub(crate) mod timer;
