//! Bytes that changed on disk.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use broadway_core::{Outgoing, Publisher, Record, testing::Reader};
use broadway_queue::{OnCorrupt, Queue, QueueFolder, QueuePublisher, TopicOptions};

use tokio::time::timeout;

use crate::common::{TOPIC, folder};

/// Files of the storage that have records, largest first.
fn files(folder: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<(u64, PathBuf)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.metadata().unwrap() {
                meta if meta.is_dir() => walk(&entry.path(), files),
                meta => files.push((meta.len(), entry.path())),
            }
        }
    }
    let mut files = Vec::new();
    walk(folder, &mut files);
    files.sort_unstable_by(|a, b| b.cmp(a));
    files.into_iter().map(|(_, path)| path).collect()
}

/// A payload that cannot be mistaken for another.
fn body(number: u64) -> Vec<u8> {
    let text = format!("{number:08}|");
    text.repeat(40).into_bytes()
}

const MESSAGES: u64 = 3_000;

fn options(path: &Path) -> QueueFolder {
    QueueFolder::new(path).segment_bytes(256 << 10)
}

async fn fill(path: &Path) {
    let publisher = QueuePublisher::topic(options(path), TOPIC)
        .create_with(TopicOptions::new().partitions(1))
        .open()
        .await
        .unwrap();
    for first in (0..MESSAGES).step_by(100) {
        let messages = (first..first + 100).map(|number| Outgoing::new(body(number)));
        let results = publisher.publish(messages.collect()).await;
        assert!(results.iter().all(Result::is_ok));
    }
    publisher.close().await.unwrap();
}

/// Flips a bit of a file of the storage, chosen by `seed`. Returns the file, unless it is empty.
fn change(path: &Path, seed: u64) -> Option<PathBuf> {
    let mut files = files(&path.join("data"));
    let file = files.swap_remove((seed >> 33) as usize % files.len());
    let mut bytes = fs::read(&file).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    bytes[(seed >> 20) as usize % used] ^= 1 << (seed % 8);
    fs::write(&file, bytes).unwrap();
    Some(file)
}

/// Reads everything, and checks each payload. Returns how many messages are missing, and whether losses were reported.
async fn read(path: &Path) -> Option<(usize, bool)> {
    let source = Queue::topic(options(path), TOPIC).on_corrupt(OnCorrupt::Skip);
    let mut reader = Reader::open(&source).await.ok()?;
    let mut came = vec![false; MESSAGES as usize];
    let idle = Duration::from_millis(1_500);
    while let Ok(Ok(received)) = timeout(idle, reader.some(500)).await {
        for one in &received {
            let number = one.item.offset();
            assert!(
                one.item.payload() == body(number),
                "a changed record was delivered"
            );
            came[number as usize] = true;
        }
        reader.done(received).await;
        if came.iter().all(|came| *came) {
            break;
        }
    }
    let missing = came.iter().filter(|came| !**came).count();
    let recorder = reader.recorder();
    let is_reported = recorder.count("lost") + recorder.count("source_error") > 0;
    // Acknowledgements may not be written any more.
    let _ = reader.close().await;
    Some((missing, is_reported))
}

/// Whatever byte of whatever file is changed, a record is delivered as it was written, or not at all, and the loss is reported.
#[tokio::test]
async fn a_changed_byte_is_never_delivered() {
    let original = folder();
    fill(original.path()).await;
    let mut seed = 7_u64;
    let (mut noticed, mut refused) = (0, 0);
    for _ in 0..24 {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let copy = folder();
        copy_all(original.path(), copy.path());
        let Some(file) = change(copy.path(), seed) else {
            continue;
        };
        let Some((missing, is_reported)) = read(copy.path()).await else {
            refused += 1;
            continue;
        };
        let file = file.display();
        assert!(
            missing == 0 || is_reported,
            "{missing} are missing in silence, after a change in {file}"
        );
        noticed += usize::from(missing > 0);
    }
    println!("{noticed} changes cost records, {refused} folders were refused");
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.metadata().unwrap().is_dir() {
            true => copy_all(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
