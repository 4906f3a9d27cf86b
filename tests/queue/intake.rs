//! The HTTP intake under clients, while it is killed.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{folder, program::program};

const KILLS: usize = 3;
const CLIENTS: usize = 4;
/// As many events are confirmed before a kill.
const PER_KILL: usize = 200;

/// A running intake.
struct Intake {
    child: Child,
    address: String,
}

impl Intake {
    /// Returns when it listens.
    fn start(folder: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(program("http_intake"))
            .arg("0")
            .arg(folder)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let printed = child.stdout.as_mut().unwrap();
        BufReader::new(printed).read_line(&mut first).unwrap();
        let address = first.trim().strip_prefix("listening on ").unwrap();
        Self {
            address: address.to_owned(),
            child,
        }
    }

    fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

/// Posts an event. Returns the answer without its body; `None` if the connection broke.
fn post(address: &str, event: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let length = event.len();
    let request = format!(
        "POST /events HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{event}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

fn written(folder: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(folder.join("events.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Clients post until the intake is killed, which happens in the middle. Returns the confirmed events.
fn post_and_kill(folder: &Path, round: usize) -> Vec<String> {
    let mut intake = Intake::start(folder, &[]);
    let (confirmed, confirmations) = mpsc::channel();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (confirmed, address) = (confirmed.clone(), intake.address.clone());
            scope.spawn(move || {
                for number in 0.. {
                    let event = format!("event {round}-{client}-{number}");
                    match post(&address, &event) {
                        Some(answer) if answer.starts_with("HTTP/1.1 202") => {
                            confirmed.send(event).unwrap();
                        }
                        Some(answer) => panic!("{event}: {answer}"),
                        None => return,
                    }
                }
            });
        }
        drop(confirmed);
        let mut events: Vec<_> = confirmations.iter().take(PER_KILL).collect();
        // SIGKILL: nothing is drained or flushed.
        intake.child.kill().unwrap();
        intake.child.wait().unwrap();
        events.extend(confirmations.iter());
        events
    })
}

#[test]
fn every_confirmed_event_reaches_the_sink_though_the_intake_is_killed() {
    let folder = folder();
    let rounds = 0..KILLS;
    let confirmed: Vec<_> = rounds.flat_map(|n| post_and_kill(&folder, n)).collect();
    assert!(confirmed.len() >= KILLS * PER_KILL);
    let intake = Intake::start(&folder, &[]);
    let begun = Instant::now();
    let missing = || {
        let written = written(&folder);
        let missing = confirmed.iter().filter(|event| !written.contains(*event));
        missing.count()
    };
    while missing() > 0 && begun.elapsed() < Duration::from_secs(30) {
        // Another process writes the file, so poll it.
        thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(missing(), 0, "of {} events", confirmed.len());
    assert_eq!(intake.terminate().code(), Some(0));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn an_event_that_is_not_durable_is_not_accepted() {
    let folder = folder();
    // More free space than the disk has.
    let intake = Intake::start(&folder, &["1000000000000000000"]);
    let answer = post(&intake.address, "an event").unwrap();
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 5"), "{answer}");
    assert_eq!(intake.terminate().code(), Some(0));
    assert_eq!(written(&folder).len(), 0);
    fs::remove_dir_all(folder).unwrap();
}
