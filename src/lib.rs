//! Concurrent ingestion pipelines: the facade.

pub use broadway_core::*;

#[cfg(feature = "kafka")]
pub use broadway_kafka as kafka;
