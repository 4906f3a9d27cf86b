//! Flows as users write them, one file per part.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod mapping;
mod plan;
mod progress;
mod sources;
mod windows;
