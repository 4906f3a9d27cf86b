//! Folders: one process, one format, the same options.

use std::{
    env, fs,
    io::{Read, Write},
    process::{Command, Stdio},
    time::Duration,
};

use broadway_core::testing::Reader;
use broadway_queue::{Durability, Queue, QueueFolder, QueuePublisher, admin::QueueAdmin};

use crate::common::{TOPIC, folder, open, publish, publisher, source};

const HELD: &str = "BROADWAY_QUEUE_HELD";

/// The child process of the next test: holds the folder until its input ends.
#[tokio::test]
async fn child_that_holds_a_folder() {
    let Some(path) = env::var_os(HELD) else {
        return;
    };
    let _publisher = QueuePublisher::topic(std::path::PathBuf::from(path), TOPIC)
        .open()
        .await
        .unwrap();
    println!("open");
    std::io::stdout().flush().unwrap();
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_first_ones_pid() {
    let folder = folder();
    let mut child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "folders::child_that_holds_a_folder",
            "--nocapture",
        ])
        .env(HELD, folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut seen = String::new();
    while !seen.contains("open\n") {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        seen.push(char::from(byte[0]));
    }
    let error = Reader::open(&source(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&format!("process {}", child.id())),
        "{error}"
    );
    assert!(error.contains("scaling-out"), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    // Nothing is left behind by a kill.
    open(&source(folder.path())).await.close().await.unwrap();
}

#[tokio::test]
async fn users_of_one_process_share_a_folder_and_its_last_one_closes_it() {
    let folder = folder();
    let publisher = publisher(folder.path(), 2).await;
    let reader = open(&source(folder.path())).await;
    let other = QueueFolder::new(folder.path()).durability(Durability::Unsynced);
    let error = Reader::open(&Queue::topic(other.clone(), TOPIC))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("`durability`"), "{error}");
    reader.close().await.unwrap();
    drop(publisher);
    // Closed, so that other options are possible.
    open(&Queue::topic(other, TOPIC))
        .await
        .close()
        .await
        .unwrap();
    assert!(QueueAdmin::of_this_process(folder.path()).is_none());
}

#[tokio::test]
async fn many_can_open_and_close_a_folder_at_once() {
    let folder = folder();
    let tasks = (0..20).map(|n: u64| {
        let path = folder.path().to_owned();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(n * 3)).await;
            let publisher = publisher(&path, 2).await;
            publish(&publisher, n * 10..n * 10 + 10).await;
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut reader = open(&source(folder.path())).await;
    let received = reader.exactly(200).await;
    reader.done(received).await;
    reader.close().await.unwrap();
}

#[tokio::test]
async fn a_folder_of_another_format_or_storage_is_refused() {
    let folder = folder();
    drop(publisher(folder.path(), 1).await);
    let format = folder.path().join("format.json");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("\"format\":1", "\"format\":2")).unwrap();
    let error = Reader::open(&source(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("format 2") && error.contains("reads format 1"),
        "{error}"
    );
    fs::write(&format, text.replace("fjall", "paper")).unwrap();
    let error = Reader::open(&source(folder.path()))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("paper") && error.contains("storage"),
        "{error}"
    );
    let error = QueueAdmin::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("format.json"), "{error}");
}

#[tokio::test]
async fn a_name_with_other_characters_is_refused() {
    for (topic, group) in [("a/b", "g"), ("", "g"), ("a", "x y")] {
        let error = Reader::open(&Queue::topic("unused", topic).group(group))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("letters") || error.to_string().contains("empty"),
            "{error}"
        );
    }
}
