//! No test waits without a limit.

use std::{env, process::Command, thread};

use broadway_test_brokers::limit_this_test;

const HANGS: &str = "BROADWAY_TEST_HANGS";

/// Hangs where it is asked to.
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
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("may_hang has not ended after 1 s"), "{said}");
}

#[test]
fn a_test_that_has_ended_is_not_limited_any_more() {
    // The thread is the test; its limit of a second is over long before the second one's.
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "ends_and_is_outlived"])
        .env(HANGS, "yes")
        .env("BROADWAY_TEST_SECONDS_MAX", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Lives longer than the limit of a thread that has ended.
#[test]
fn ends_and_is_outlived() {
    if env::var_os(HANGS).is_none() {
        return;
    }
    thread::spawn(limit_this_test).join().unwrap();
    let limit = std::time::Duration::from_secs(3);
    thread::park_timeout(limit);
}
