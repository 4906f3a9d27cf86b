//! `export` and `import`.

use super::*;

/// Messages with everything that differs between lines.
fn varied() -> Vec<Outgoing> {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
    let binary = || HeaderValue::from(&[0xff, 0][..]);
    let list = HeaderValue::List(vec![HeaderValue::Null, HeaderValue::Int(-1), binary()]);
    let table = HeaderValue::Table(vec![("a".to_owned(), list.clone())]);
    let headers = Outgoing::new("headers")
        .header("text", "é\n\"")
        .header("text", "")
        .header(&[0xfe][..], "a name that is not UTF-8")
        .header("null", HeaderValue::Null)
        .header("bytes", binary())
        .header("bool", true)
        .header("int", i64::MIN)
        .header("float", 0.1)
        .header("not-a-number", f64::NAN)
        .header("decimal", HeaderValue::Decimal { scale: 2, value: 5 })
        .header("time", time)
        .header("list", list)
        .header("table", table);
    vec![
        headers,
        Outgoing::tombstone().key("deleted"),
        Outgoing::new("").key(""),
        Outgoing::new(vec![0, 0xff]).key(vec![0xc3, 0x28]),
        Outgoing::new("line\r\n\u{2028}\0").sent_at(time),
        Outgoing::new("old").sent_at(SystemTime::UNIX_EPOCH - Duration::from_millis(1)),
    ]
}

#[test]
fn an_exported_topic_is_imported_without_a_difference() {
    let messages = varied().into_iter().chain((0..10_000).map(numbered));
    let from = folder_with(messages.collect());
    let first = printed(&["export", path(&from), "orders"]);
    assert_eq!(first.lines().count(), 10_006);

    let to = tempfile::tempdir().unwrap();
    let new = to.path().join("new");
    let new = new.to_str().unwrap();
    let arguments = [
        "import",
        new,
        "orders",
        "--partitions",
        "3",
        "--keep-partitions",
    ];
    let output = run_with(&arguments, first.as_bytes());
    assert_eq!(failed(&output), (Some(0), String::new()));
    let second = to.path().join("second.jsonl");
    let second = second.to_str().unwrap();
    let output = ["export", new, "orders", "-o", second];
    printed(&output);
    assert_eq!(fs::read_to_string(second).unwrap(), first);

    // A key goes to the partition that it had, since there are as many. A file is read as standard input is.
    let counts = json(&["import", new, "again", second, "--partitions", "3"]);
    assert_eq!(counts[0]["published"], 10_006);
    let keyed = |topic: &str, partition: &str| {
        let text = printed(&["export", new, topic, "--partition", partition]);
        let mut keys: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["key"].to_string())
            .filter(|key| key != "null")
            .collect();
        keys.sort();
        keys
    };
    for partition in ["0", "1", "2"] {
        assert_eq!(keyed("orders", partition), keyed("again", partition));
    }
}

/// Reads all messages of `orders` with a group, and acknowledges those with an odd offset.
async fn settle_odd_ones(folder: &Path, group: &str, n: usize) {
    let source = Queue::topic(folder, "orders").group(group);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(n).await;
    let odd = received.into_iter();
    let odd = odd.filter(|received| received.item.offset() % 2 == 1);
    reader.done(odd).await;
    reader.close().await.unwrap();
}

#[test]
fn an_export_for_a_group_has_only_what_it_has_not_settled() {
    let messages = (0..100).map(|n| Outgoing::new(format!("{n}")).to_partition(2));
    let folder = folder_with(messages.collect());
    in_runtime(settle_odd_ones(folder.path(), "billing", 100));
    let arguments = ["export", path(&folder), "orders", "--group", "billing"];
    let text = printed(&arguments);
    let offset = |line: &str| serde_json::from_str::<Value>(line).unwrap()["offset"].as_u64();
    let offsets: Vec<_> = text.lines().map(|line| offset(line).unwrap()).collect();
    assert_eq!(offsets, (0..100).step_by(2).collect::<Vec<_>>());

    let admin = QueueAdmin::open(folder.path()).unwrap();
    admin.seek_group("orders", "billing", 2, 99).unwrap();
    drop(admin);
    assert_eq!(printed(&arguments).lines().count(), 1);
    let unknown = run(&["export", path(&folder), "orders", "--group", "other"]);
    let (code, errors) = failed(&unknown);
    assert!(code == Some(1) && errors.contains("billing"), "{errors}");
}

#[test]
fn an_import_ends_at_the_first_bad_line_and_goes_on_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let good = |n: u32| format!("{{\"payload\":\"{n}\"}}\n");
    let lines = |range: std::ops::Range<u32>| range.map(good).collect::<String>();
    let text = lines(0..10_000) + "{\"payload\":7}\n" + &lines(0..5);
    let output = run_with(&["import", path(&folder), "orders"], text.as_bytes());
    let (code, errors) = failed(&output);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("line 10001: ") && errors.contains("--skip 10000"),
        "{errors}"
    );
    assert_eq!(json(&["ls", path(&folder)])[0]["records"], 10_000);
    let corrected = text.replace("{\"payload\":7}", "\r");
    let arguments = ["import", path(&folder), "orders", "-", "--skip", "10000"];
    let output = run_with(&arguments, corrected.as_bytes());
    assert_eq!(failed(&output), (Some(0), String::new()));
    assert_eq!(json(&["ls", path(&folder)])[0]["records"], 10_005);
}

#[test]
fn an_import_of_a_line_for_a_partition_that_is_missing_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"payload\":\"a\",\"partition\":0}\n{\"payload\":\"b\",\"partition\":9}\n";
    let arguments = ["import", path(&folder), "orders", "--keep-partitions"];
    let output = run_with(&arguments, text.as_bytes());
    let (code, errors) = failed(&output);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("line 2: ") && errors.contains("--skip 2"),
        "{errors}"
    );
    assert_eq!(json(&["ls", path(&folder)])[0]["records"], 1);
}
