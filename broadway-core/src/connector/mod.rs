//! What authors of connectors share, beside the traits in [`source`](crate::source).

mod lag;
mod readable;
mod runtime;

pub use lag::LagReporter;
pub use readable::readable;
pub use runtime::ClientRuntime;
