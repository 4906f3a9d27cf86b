//! The connector with real folders.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod common;
mod corrupt;
mod failures;
mod folders;
mod groups;
mod killed;
mod progress;
mod publishing;
mod reading;
mod retention;
