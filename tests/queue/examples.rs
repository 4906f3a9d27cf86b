//! The examples print what their first lines promise.

use std::{fs, process::Command};

use crate::{folder, program::program};

/// Runs an example, and returns the lines that it prints. Its files are in a folder of its own.
fn run(example: &str) -> Vec<String> {
    let folder = folder();
    let ended = Command::new(program(example))
        .env("TMPDIR", &folder)
        .output()
        .expect("it runs");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{example}: {errors}");
    fs::remove_dir_all(folder).unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    printed.lines().map(str::to_owned).collect()
}

/// The number of lines that begin so.
fn begin(lines: &[String], start: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn the_first_example_handles_what_it_published() {
    let printed = run("queue_hello");
    assert_eq!(begin(&printed, "orders["), 3, "{printed:#?}");
    assert_eq!(printed.last().unwrap(), "3 handled, 0 failed");
}

#[test]
fn members_share_the_partitions_and_count_each_order_once() {
    let printed = run("scaling_out_queue");
    let line = |text: &str| printed.iter().position(|line| line == text).unwrap();
    let (joins, leaves) = (line("-- two joins"), line("-- one leaves"));
    let between = &printed[joins..leaves];
    assert_eq!(begin(&printed[..joins], "one: reads "), 4, "{printed:#?}");
    assert_eq!(begin(between, "one: gives up "), 2, "{printed:#?}");
    assert_eq!(begin(between, "two: reads "), 2, "{printed:#?}");
    assert_eq!(begin(&printed[leaves..], "two: reads "), 2, "{printed:#?}");
    let counted = printed.iter().filter(|line| line.ends_with(": 50 orders"));
    assert_eq!(counted.count(), 6, "{printed:#?}");
    // Both members have seen a customer in the same partition.
    let mut places: Vec<_> = printed
        .iter()
        .filter_map(|line| line.split_once(": ")?.1.split_once(" is in "))
        .collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 6, "{printed:#?}");
}

#[test]
fn an_outbox_loses_no_event_and_its_repeats_are_dropped() {
    let printed = run("outbox");
    assert_eq!(begin(&printed, "sent: "), 10, "{printed:#?}");
    assert_eq!(begin(&printed, "handled: "), 5, "{printed:#?}");
    let last = printed.last().unwrap();
    assert_eq!(last, "5 of 10 handled, 5 repeats dropped");
}
