//! Pools: equal consumers that share the events of some outputs, as many as there is work for.
//!
//! A *manager* looks at the links and at its members now and then, shows what it sees to a machine
//! ([`machine::pool`](crate::machine::pool)), and starts or stops members as that says. The members are ordinary stages, each in
//! a task of its own. So events go from a producer to members directly, and a pool costs nothing per event.
//!
//! - `builder`: [`pool`], and its options.
//! - `member`: how members are made, and what the manager knows of one.
//! - `manager`: the loop.
//! - `handle`: [`PoolHandle`].

mod builder;
mod handle;
mod manager;
mod member;

pub use builder::{PoolBuilder, pool};
pub use handle::PoolHandle;
