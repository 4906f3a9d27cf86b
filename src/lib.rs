//! Concurrent ingestion pipelines: the facade.

pub use broadway_core::*;
