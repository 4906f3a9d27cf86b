//! A time limit for tests: a test that hangs aborts its process with its name, so that the run fails rather than hangs.

use std::{
    cell::RefCell,
    env,
    io::{self, Write},
    process,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// The time limit of a test in seconds, which only a hang reaches. `BROADWAY_TEST_SECONDS_MAX` overrides it for runs that are
/// long on purpose.
pub const SECONDS_MAX: u64 = 10 * 60;

thread_local! {
    /// Dropped with the test's thread, or when the next test starts on it. Then the watching thread ends.
    static RUNNING: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
}

/// Aborts the process unless the calling thread ends, or calls this again, within [`SECONDS_MAX`]. The test harness runs each test on
/// its own thread, or all in turn on one.
///
/// # Panics
///
/// Panics if `BROADWAY_TEST_SECONDS_MAX` is not a number.
pub fn limit_this_test() {
    let seconds = match env::var("BROADWAY_TEST_SECONDS_MAX") {
        Ok(seconds) => seconds
            .parse()
            .expect("BROADWAY_TEST_SECONDS_MAX is a number of seconds"),
        Err(_) => SECONDS_MAX,
    };
    let (running, ended) = mpsc::channel::<()>();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        let waited = ended.recv_timeout(Duration::from_secs(seconds));
        if waited == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`: the test harness captures its output and would not show it.
            let line = format!("{test} has not ended after {seconds} s: this process is aborted");
            drop(writeln!(io::stderr(), "{line}"));
            process::abort();
        }
    });
    RUNNING.set(Some(running));
}
