//! Pools: equal consumers that share the events of some outputs, as many as the work needs.
//!
//! A *manager* samples the links and its members from time to time, passes the sample to a machine
//! ([`machine::pool`](crate::machine::pool)), and starts or stops members as that decides. The members are ordinary stages, each in a
//! task of its own, so events go from a producer to the members directly, and a pool costs nothing per event.
//!
//! - `builder`: [`pool`], and its options.
//! - `command`: what handles ask of the manager.
//! - `member`: how members are made, and what the manager knows of one.
//! - `manager`: the loop.
//! - `handle`: [`PoolHandle`].

mod builder;
mod command;
mod handle;
mod manager;
mod member;

pub use builder::{PoolBuilder, pool};
pub use handle::PoolHandle;
