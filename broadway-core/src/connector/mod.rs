//! What authors of connectors share, beside the traits in [`source`](crate::source).

mod lag;
mod runtime;

pub use lag::LagTeller;
pub use runtime::ClientRuntime;
