//! A test that never ends ends its process: the run fails and names the test, instead of waiting with it.

use std::{
    cell::RefCell,
    env,
    io::{self, Write},
    process,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::Duration,
};

/// How long a test may take, in seconds: far above what any needs, so that only a hang meets it. `BROADWAY_TEST_SECONDS_MAX`
/// overrules it, for runs that are long on purpose.
pub const SECONDS_MAX: u64 = 20 * 60;

thread_local! {
    /// Gone with the test's thread, or when the next test begins on it: its watcher ends then.
    static RUNNING: RefCell<Option<Sender<()>>> = const { RefCell::new(None) };
}

/// Ends the process if the calling thread has not ended, nor called this again, after [`SECONDS_MAX`]. The test harness runs each
/// test on a thread of its own, or one after the other on one.
///
/// # Panics
///
/// If `BROADWAY_TEST_SECONDS_MAX` is not a number.
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
            // Not `eprintln!`: the test harness captures that, and would never show it.
            let line = format!("{test} has not ended after {seconds} s: this process is aborted");
            drop(writeln!(io::stderr(), "{line}"));
            process::abort();
        }
    });
    RUNNING.set(Some(running));
}
