//! The programs, a file for each framework.

pub(crate) mod bare_client;
pub(crate) mod mq_bridge;
pub(crate) mod ours;
mod program;
pub(crate) mod ruststream;
pub(crate) mod shove;

pub(crate) use program::{Body, Program, Running, Work};
