//! Lines of files.

use std::{collections::HashMap, path::PathBuf};

use broadway_flow::Lines;
use tempfile::TempDir;

fn file(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

#[tokio::test]
async fn every_line_of_every_file_arrives_once_whatever_its_end() {
    let folder = TempDir::new().unwrap();
    let one = file(&folder, "one", b"a\r\nb\n\nc");
    let two = file(&folder, "two", b"");
    let three = file(&folder, "three", b"d\n");
    let lines = Lines::files([one, two, three])
        .workers(1)
        .map(str::to_owned);
    assert_eq!(lines.collect().await.unwrap(), ["a", "b", "", "c", "d"]);
}

#[tokio::test]
async fn lines_longer_than_a_block_stay_whole() {
    let folder = TempDir::new().unwrap();
    let long = "x".repeat(700_000);
    let text = format!("{long}\nshort\n{long}");
    let path = file(&folder, "long", text.as_bytes());
    let lengths = Lines::files([path])
        .workers(1)
        .map(str::len)
        .collect()
        .await
        .unwrap();
    assert_eq!(lengths, [700_000, 5, 700_000]);
}

#[tokio::test]
async fn words_are_counted_by_all_workers_together() {
    let folder = TempDir::new().unwrap();
    let text: String = (0..200_000)
        .map(|n| format!("w{} ", n % 1_000) + if n % 9 == 0 { "\n" } else { "" })
        .collect();
    let path = file(&folder, "words", text.as_bytes());
    let counts = Lines::files([path])
        .workers(3)
        .split(str::split_ascii_whitespace)
        .count();
    let counts: HashMap<_, _> = counts
        .workers(2)
        .collect()
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(counts.len(), 1_000);
    assert!(counts.values().all(|n| *n == 200), "{counts:?}");
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_the_flow_and_names_the_file() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, "binary", b"ok\n\xff\xfe\n");
    let error = Lines::files([path])
        .map(str::len)
        .run()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("binary") && error.contains("UTF-8"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_file_is_refused_at_the_start() {
    let error = Lines::files(["/no/such/file"])
        .map(str::len)
        .run()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}
