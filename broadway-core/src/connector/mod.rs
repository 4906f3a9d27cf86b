//! What authors of connectors share, beside the traits in [`source`](crate::source).

mod runtime;

pub use runtime::ClientRuntime;
