//! Every test has a time limit.

use std::{env, process::Command, thread};

use broadway_test_brokers::limit_this_test;

const HANGS: &str = "BROADWAY_TEST_HANGS";

/// Hangs if the environment asks for it.
#[test]
fn may_hang() {
    if env::var_os(HANGS).is_none() {
        return;
    }
    limit_this_test();
    loop {
        thread::park();
    }
}

#[test]
fn a_test_that_hangs_ends_its_process_and_is_named() {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "may_hang", "--test-threads=2"])
        .env(HANGS, "yes")
        .env("BROADWAY_TEST_SECONDS_MAX", "1")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        errors.contains("may_hang has not ended after 1 s"),
        "{errors}"
    );
}

#[test]
fn a_test_that_has_ended_is_not_limited_any_more() {
    // The inner thread is the test. Its limit of a second expires while the outer thread still runs.
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "ends_and_is_outlived"])
        .env(HANGS, "yes")
        .env("BROADWAY_TEST_SECONDS_MAX", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Runs longer than the limit of a thread that has ended.
#[test]
fn ends_and_is_outlived() {
    if env::var_os(HANGS).is_none() {
        return;
    }
    thread::spawn(limit_this_test).join().unwrap();
    let limit = std::time::Duration::from_secs(3);
    thread::park_timeout(limit);
}
