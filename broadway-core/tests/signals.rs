//! What signals do to a program: a child process of this test runs a pipeline, gets them, and exits.
//!
//! A test that finds [`ROLE`] in its environment is the child. It says on standard output when its handlers have begun, and then
//! what it hears; the parent sends signals with `kill`, and looks at how it ended.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::{
    env,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{self, Child, ChildStdout, Command, ExitStatus, Stdio},
    time::Duration,
};

use broadway_core::{
    Message, Pipeline, Processors, handler_fn_async,
    telemetry::{Event, Observer},
    testing::manual_source,
};
use tokio::time::sleep;

const ROLE: &str = "BROADWAY_SIGNALS_ROLE";
/// What the exit code of a child is if the topology did not end well.
const FAILED: i32 = 3;

#[derive(Clone, Copy, PartialEq)]
enum Waits {
    Plainly,
    ForSignals,
}

struct Telling;

impl Observer for Telling {
    fn on_event(&self, _pipeline: &str, event: &Event<'_>) {
        if matches!(event, Event::Draining { .. }) {
            say("draining");
        }
    }
}

/// Not by `println`, which the harness swallows.
fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}").unwrap();
    out.flush().unwrap();
}

/// Handles four messages for so long each, of a source that delivers again what is released.
fn child(waits: Waits, handler: Duration) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let ended = runtime.block_on(async {
        let (source, feed) = manual_source::<u64>();
        let handle = handler_fn_async(async move |_: &mut Message<u64>| {
            say("begun");
            sleep(handler).await;
            say("handled");
            Ok(())
        });
        let topology = Pipeline::new(source.redelivers(), handle)
            .processors(Processors::new(4))
            .drain_timeout(Duration::from_secs(60))
            .observe(Telling)
            .start()
            .await
            .unwrap();
        let wait = async {
            match waits {
                Waits::Plainly => topology.wait().await,
                Waits::ForSignals => topology.wait_or_signal().await,
            }
        };
        let feeding = async {
            // When signals are caught.
            tokio::task::yield_now().await;
            feed.push_all(0..200);
        };
        tokio::join!(wait, feeding).0
    });
    match ended {
        Ok(totals) => {
            say(&format!(
                "done {} released {}",
                totals.done, totals.released
            ));
            process::exit(0);
        }
        Err(error) => {
            say(&error.to_string());
            process::exit(FAILED);
        }
    }
}

/// A child in which four handlers have begun.
struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Running {
    fn start(test: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(ROLE, "child")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { child, said };
        for _ in 0..4 {
            running.hear("begun");
        }
        running
    }

    /// Reads up to a line that begins with this word; the end of the child fails the test.
    fn hear(&mut self, word: &str) -> String {
        let mut all = String::new();
        loop {
            let mut line = String::new();
            let read = self.said.read_line(&mut line).unwrap();
            assert!(read > 0, "the child never said {word:?}, but: {all}");
            if line.starts_with(word) {
                return line.trim_end().to_owned();
            }
            all.push_str(&line);
        }
    }

    fn send(&self, signals: &[&str]) {
        let id = self.child.id();
        let kills: Vec<String> = signals
            .iter()
            .map(|signal| format!("kill -{signal} {id}"))
            .collect();
        let sent = Command::new("sh")
            .args(["-c", &kills.join(" && ")])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

fn is_child() -> bool {
    env::var_os(ROLE).is_some()
}

const LONG: Duration = Duration::from_secs(3_600);
const SHORT: Duration = Duration::from_secs(1);

#[test]
fn sigterm_drains_and_the_exit_code_is_zero() {
    drains("sigterm_drains_and_the_exit_code_is_zero", &["TERM"]);
}

#[test]
fn sigint_drains_and_the_exit_code_is_zero() {
    drains("sigint_drains_and_the_exit_code_is_zero", &["INT"]);
}

#[test]
fn two_signals_in_one_instant_drain_once() {
    // Stopped meanwhile, it finds both when it goes on.
    let signals = ["STOP", "INT", "TERM", "CONT"];
    drains("two_signals_in_one_instant_drain_once", &signals);
}

fn drains(test: &str, signals: &[&str]) {
    if is_child() {
        child(Waits::ForSignals, SHORT);
    }
    let mut running = Running::start(test);
    running.send(signals);
    running.hear("draining");
    for _ in 0..4 {
        running.hear("handled");
    }
    let said = running.hear("done");
    assert!(said.starts_with("done 4 released"), "{said}");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_second_signal_after_half_a_second_aborts() {
    if is_child() {
        child(Waits::ForSignals, LONG);
    }
    let mut running = Running::start("a_second_signal_after_half_a_second_aborts");
    running.send(&["TERM"]);
    running.hear("draining");
    // `sleep` of the shell, as a user would wait. A signal that comes too early counts as one with the first, and the next one does
    // not, so the test does not depend on when they come.
    let id = running.child.id();
    let aborting = format!("while kill -TERM {id} 2>/dev/null; do sleep 0.3; done");
    let mut aborting = Command::new("sh").args(["-c", &aborting]).spawn().unwrap();
    let said = running.hear("the topology was aborted");
    assert!(said.contains("4 message(s) unsettled"), "{said}");
    let status = running.end();
    aborting.wait().unwrap();
    assert_eq!(status.code(), Some(FAILED));
}

#[test]
fn without_wait_or_signal_a_signal_ends_the_process_at_once() {
    if is_child() {
        child(Waits::Plainly, LONG);
    }
    let running = Running::start("without_wait_or_signal_a_signal_ends_the_process_at_once");
    running.send(&["TERM"]);
    let status = running.end();
    assert_eq!((status.code(), status.signal()), (None, Some(15)));
}
