//! A process that is killed at any moment, under load.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway_core::{Message, Outgoing, Pipeline, Processors, Publisher, handler_fn};
use broadway_queue::{Queue, QueueFolder, QueuePublisher, QueueRecord, TopicOptions};
use tokio::time::sleep;

use crate::common::{TOPIC, finish, folder, number, open};

const CHILD: &str = "BROADWAY_QUEUE_KILLED";
/// How often the process is killed; the full figure is 200.
const KILLS: &str = "BROADWAY_QUEUE_KILLS";
/// The acknowledgements of this time may be lost with the process, beside those of messages in flight.
const ACK_INTERVAL: Duration = Duration::from_millis(20);

fn options(path: &Path) -> QueueFolder {
    QueueFolder::new(path)
        .ack_interval(ACK_INTERVAL)
        .segment_bytes(1 << 20)
}

fn append(path: &Path) -> Arc<Mutex<File>> {
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    Arc::new(Mutex::new(file))
}

/// Each line is one call to the kernel, so a line that was written stays.
fn line(file: &Mutex<File>, number: u64) {
    file.lock()
        .unwrap()
        .write_all(format!("{number}\n").as_bytes())
        .unwrap();
}

fn lines(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// Waits until a process publishes.
async fn wait_for_load(confirmed: &Path) {
    let len = || fs::metadata(confirmed).map_or(0, |meta| meta.len());
    let before = len();
    let reached = tokio::time::timeout(Duration::from_secs(30), async {
        while len() == before {
            sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(reached.await.is_ok(), "the process does not publish");
}

/// The process: publishes and handles at once, and notes which messages were confirmed and which were handled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_under_load() {
    let Some(dir) = env::var_os(CHILD).map(PathBuf::from) else {
        return;
    };
    let first: u64 = env::var("BROADWAY_QUEUE_FIRST").unwrap().parse().unwrap();
    let folder = dir.join("queue");
    let (confirmed, handled) = (append(&dir.join("confirmed")), append(&dir.join("handled")));
    let handler = handler_fn(move |message: &mut Message<QueueRecord>| {
        line(&handled, number(message.data()));
        Ok(())
    });
    let _topology = Pipeline::new(Queue::topic(options(&folder), TOPIC), handler)
        .processors(Processors::new(2).max_demand(20))
        .start()
        .await
        .unwrap();
    let publisher = QueuePublisher::topic(options(&folder), TOPIC)
        .create_with(TopicOptions::new().partitions(4))
        .open()
        .await
        .unwrap();
    let tasks = (0..4).map(|task| {
        let (publisher, confirmed) = (publisher.clone(), Arc::clone(&confirmed));
        tokio::spawn(async move {
            for call in 0.. {
                let numbers: Vec<u64> = (0..5).map(|n| first + (call * 4 + task) * 5 + n).collect();
                let messages = numbers
                    .iter()
                    .map(|number| Outgoing::new(number.to_string()).key((number % 7).to_string()));
                let results = publisher.publish(messages.collect()).await;
                for (number, result) in numbers.into_iter().zip(results) {
                    if result.is_ok() {
                        line(&confirmed, number);
                    }
                }
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_that_was_confirmed_and_repeat_little() {
    let kills: u64 = env::var(KILLS).map_or(15, |kills| kills.parse().unwrap());
    let dir = folder();
    let mut seed = kills;
    for kill in 0..kills {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "killed::child_under_load", "--nocapture"])
            .env(CHILD, dir.path())
            .env("BROADWAY_QUEUE_FIRST", (kill * 100_000_000).to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Some are killed while they start.
        if kill % 5 > 0 {
            wait_for_load(&dir.path().join("confirmed")).await;
        }
        sleep(Duration::from_millis(30 + (seed >> 33) % 270)).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let confirmed: BTreeSet<u64> = lines(&dir.path().join("confirmed")).into_iter().collect();
    let handled = lines(&dir.path().join("handled"));
    let distinct: BTreeSet<u64> = handled.iter().copied().collect();
    // What the last process had left.
    let mut reader = open(&Queue::topic(options(&dir.path().join("queue")), TOPIC)).await;
    let mut rest = BTreeSet::new();
    while let Ok(some) = tokio::time::timeout(Duration::from_secs(2), finish(&mut reader, 1)).await
    {
        rest.extend(some);
    }
    reader.close().await.unwrap();
    let lost: Vec<_> = confirmed
        .iter()
        .filter(|number| !distinct.contains(number) && !rest.contains(number))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} confirmed messages are lost",
        lost.len(),
        confirmed.len()
    );
    let again = rest
        .iter()
        .filter(|number| distinct.contains(number))
        .count();
    let repeats = handled.len() - distinct.len() + again;
    println!(
        "{kills} kills: {} confirmed, {} handled, {repeats} repeated, 0 lost",
        confirmed.len(),
        distinct.len()
    );
    assert!(!confirmed.is_empty() && !distinct.is_empty());
    // In flight, and settled within an interval and the commit that was under way: at the rate of this run, with room for a slow machine.
    let per_kill = distinct.len() as u64 / kills;
    let bound = kills * (2 * 2 * 20 + per_kill);
    assert!(
        repeats as u64 <= bound,
        "{repeats} repeats, at most {bound} were expected"
    );
}
