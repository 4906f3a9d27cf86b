//! The queue end to end: the programs of its examples, which need no broker.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test with its line")]

mod examples;
mod intake;
#[path = "../program.rs"]
mod program;

use std::{
    env,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder that no other test uses.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("broadway-queue-test-{}-{number}", process::id());
    let path = env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}
