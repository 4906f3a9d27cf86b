//! A member that is killed and restarted repeatedly.

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use crate::{
    broker::{broker, create_topic, publish, unique},
    ledger::{Entry, check},
    member::{self, UNCOMMITTED_MAX},
};

const KEYS: u32 = 500;
const PER_KEY: u32 = 200;
const PARTITIONS: i32 = 4;
const KILLS: usize = 5;

/// The ledger file, in the child's environment. The child also needs the next two variables.
const LEDGER: &str = "BROADWAY_TEST_LEDGER";
const TOPIC: &str = "BROADWAY_TEST_TOPIC";
const GROUP: &str = "BROADWAY_TEST_GROUP";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_killed_loses_nothing_and_repeats_no_more_than_its_bound() {
    let Some(broker) = broker() else { return };
    let (topic, group) = (unique("killed"), unique("group"));
    create_topic(&broker, &topic, PARTITIONS).await;
    tokio::task::block_in_place(|| {
        publish(&broker, &topic, KEYS, PER_KEY);
        let path = env::temp_dir().join(format!("{topic}.ledger"));
        run_and_kill(&path, &topic, &group);
        let entries = read(&path);
        let verdict = check(&entries, KEYS, PER_KEY);
        println!("after {KILLS} kills: {verdict:?}");
        assert_eq!(verdict.lost, 0);
        assert_eq!(verdict.reordered, 0);
        let bound = KILLS * usize::try_from(PARTITIONS).unwrap() * UNCOMMITTED_MAX;
        assert!(
            verdict.repeated <= bound,
            "{} repeats, at most {bound} are documented",
            verdict.repeated
        );
        fs::remove_file(&path).unwrap();
    });
}

/// Kills each member after it has handled a share of the records, except the last, which finishes.
fn run_and_kill(path: &Path, topic: &str, group: &str) {
    let all = usize::try_from(KEYS * PER_KEY).unwrap();
    for kill in 1..=KILLS {
        let mut child = spawn(path, topic, group);
        let share = all * kill / (KILLS + 1);
        wait_until(&mut child, || distinct(path) >= share);
        // SIGKILL: the member does not drain, commit, or leave the group.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let mut child = spawn(path, topic, group);
    wait_until(&mut child, || distinct(path) >= all);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn spawn(path: &Path, topic: &str, group: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "killed::the_member_that_is_killed",
            "--nocapture",
        ])
        .env(LEDGER, path)
        .env(TOPIC, topic)
        .env(GROUP, group)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_until(child: &mut Child, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "the member ended unexpectedly"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "no progress within two minutes"
        );
        // Another process writes the file, so poll it.
        thread::park_timeout(Duration::from_millis(50));
    }
}

fn read(path: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(Entry::from_line).collect()
}

fn distinct(path: &Path) -> usize {
    let mut entries: Vec<_> = read(path)
        .into_iter()
        .map(|entry| (entry.key, entry.number))
        .collect();
    entries.sort_unstable();
    entries.dedup();
    entries.len()
}

/// The child process of the test above. Without its environment variables it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_member_that_is_killed() {
    let (Some(path), Ok(topic), Ok(group)) = (
        env::var_os(LEDGER).map(PathBuf::from),
        env::var(TOPIC),
        env::var(GROUP),
    ) else {
        return;
    };
    let broker = broker().unwrap();
    let file = Mutex::new(
        File::options()
            .append(true)
            .create(true)
            .open(path)
            .unwrap(),
    );
    let write = move |entries: &[Entry]| {
        let lines: String = entries.iter().map(|entry| entry.to_line()).collect();
        // A single write call: data that the kernel has accepted survives the kill.
        file.lock().unwrap().write_all(lines.as_bytes())?;
        Ok(())
    };
    let topology = member::start(&broker, &topic, &group, 40_000, write).await;
    topology.wait().await.unwrap();
}
