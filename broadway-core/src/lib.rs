//! The engine.
pub mod machine;
