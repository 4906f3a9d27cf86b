//! The program, run as a process, on folders that the publisher has filled.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail the test as tests do"
)]

mod lines;
mod looks;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{self, Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use broadway::{
    Outgoing, Publisher,
    publisher::HeaderValue,
    queue::{Queue, QueueAdmin, QueueFolder, QueuePublisher, TopicOptions},
    testing::Reader,
};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the program, with these bytes as its standard input.
fn run_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_broadway-queue"));
    let program = program.args(arguments).stdin(Stdio::piped());
    let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = program.spawn().unwrap();
    let mut stdin = running.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that fails early does not read it.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = running.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn run(arguments: &[&str]) -> Output {
    run_with(arguments, b"")
}

/// Runs the program, which must succeed, and returns what it printed.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same, with `--json`, as the objects of its lines.
fn json(arguments: &[&str]) -> Vec<Value> {
    let text = printed(&[arguments, &["--json"]].concat());
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().unwrap()
}

/// The exit code and the standard error.
fn failed(output: &Output) -> (Option<i32>, String) {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), errors)
}

fn in_runtime<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

async fn publish(folder: impl Into<QueueFolder>, topic: &str, messages: Vec<Outgoing>) {
    let options = TopicOptions::new()
        .partitions(3)
        .keep_acked()
        .retain_bytes(1 << 30);
    let publisher = QueuePublisher::topic(folder, topic).create_with(options);
    let publisher = publisher.open().await.unwrap();
    for result in publisher.publish(messages).await {
        result.unwrap();
    }
    publisher.close().await.unwrap();
}

/// A folder with the topic `orders` of some messages.
fn folder_with(messages: Vec<Outgoing>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    in_runtime(publish(folder.path(), "orders", messages));
    folder
}

fn path(folder: &TempDir) -> &str {
    folder.path().to_str().unwrap()
}

fn numbered(n: u32) -> Outgoing {
    Outgoing::new(format!("order {n}")).key(format!("customer-{}", n % 7))
}
