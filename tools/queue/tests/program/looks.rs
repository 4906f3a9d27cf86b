//! `ls`, `stat`, `peek`, `verify` and `purge`, and how the program fails.

use super::*;

#[test]
fn topics_partitions_and_records_are_printed() {
    let folder = folder_with((0..100).map(numbered).collect());
    let listed = json(&["ls", path(&folder)]);
    assert_eq!(listed[0]["topic"], "orders");
    assert_eq!(
        (&listed[0]["partitions"], &listed[0]["records"]),
        (&3.into(), &100.into())
    );
    let stat = json(&["stat", path(&folder), "orders"]);
    assert!(stat[0]["disk_bytes"].as_u64().unwrap() > 0);
    let partitions = stat[0]["topics"][0]["partitions"].as_array().unwrap();
    let ends = partitions.iter().map(|of| of["end"].as_u64().unwrap());
    assert_eq!(ends.sum::<u64>(), 100);
    assert_eq!(json(&["peek", path(&folder), "orders"]).len(), 10);
    for command in ["ls", "stat"] {
        assert!(printed(&[command, path(&folder)]).contains("orders"));
    }
    let missing = run(&["stat", path(&folder), "nothing"]);
    let (code, errors) = failed(&missing);
    assert_eq!(code, Some(1));
    assert!(errors.contains("\"orders\""), "{errors}");
}

#[test]
fn a_record_is_shown_with_its_headers_and_the_beginning_of_its_payload() {
    let message = Outgoing::new(format!("\x1b[31m{}", "é".repeat(500)));
    let binary = Outgoing::new(vec![0xff; 300]).to_partition(1);
    let message = message.key("k").header("n", 7_i64).to_partition(1);
    let folder = folder_with(vec![message, binary]);
    let place = ["peek", path(&folder), "orders", "--partition", "1"];
    let records = json(&place);
    assert_eq!(
        (&records[0]["offset"], &records[0]["key"]),
        (&0.into(), &"k".into())
    );
    assert_eq!(records[0]["headers"], serde_json::json!([["n", 7]]));
    assert_eq!(records[0]["payload_bytes"], 1_005);
    let shown = records[0]["payload"].as_str().unwrap();
    assert!(
        shown.len() <= 200 && shown.starts_with("\x1b[31mé"),
        "{shown}"
    );
    assert!(
        records[1]["payload"]["base64"].is_string(),
        "{}",
        records[1]
    );
    let text = printed(&place);
    assert!(
        text.contains("\\u{1b}[31mé") && text.contains('…'),
        "{text}"
    );
    let second = json(&[&place[..], &["--offset", "1", "--max-bytes", "3"]].concat());
    assert_eq!((second.len(), &second[0]["offset"]), (1, &1.into()));
    assert_eq!(second[0]["payload"]["base64"], "////");
}

/// The largest file below a folder.
fn largest_file(folder: &Path) -> PathBuf {
    let mut folders = vec![folder.to_path_buf()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push((entry.metadata().unwrap().len(), entry.path())),
            }
        }
    }
    files.into_iter().max().unwrap().1
}

#[test]
fn flipped_bytes_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let small = QueueFolder::new(folder.path()).segment_bytes(64 << 10);
    // Bytes that compression does not remove.
    let mut state = 1_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    let messages =
        (0..4_000).map(|_| Outgoing::new((0..1_024).map(|_| noise()).collect::<Vec<_>>()));
    in_runtime(publish(small, "orders", messages.collect()));
    let clean = json(&["verify", path(&folder)]);
    assert_eq!(clean[0]["records"], 4_000);
    assert_eq!(clean[0]["corrupt"], serde_json::json!([]));

    let file = largest_file(&folder.path().join("data"));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64]
        .iter_mut()
        .for_each(|byte| *byte ^= 0xff);
    fs::write(&file, bytes).unwrap();
    let output = run(&["verify", path(&folder), "--json"]);
    let (code, errors) = failed(&output);
    assert_eq!(code, Some(1), "{}: {errors}", file.display());
    let text = String::from_utf8(output.stdout).unwrap();
    let names_offsets = || {
        let report: Value = serde_json::from_str(&text).unwrap();
        !report["corrupt"].as_array().unwrap().is_empty()
    };
    // Either the offsets are named, or the folder cannot be opened.
    assert!(
        errors.contains("cannot be read") || names_offsets(),
        "{errors}{text}"
    );
}

#[test]
fn a_purge_frees_what_all_groups_have_acknowledged() {
    let messages = (0..2_000).map(|n| numbered(n).to_partition(0));
    let folder = folder_with(messages.collect());
    let unsaid = run(&["purge", path(&folder), "orders"]);
    let (code, errors) = failed(&unsaid);
    assert!(code == Some(2) && errors.contains("--acked"), "{errors}");
    let purge = ["purge", path(&folder), "orders", "--acked"];
    assert_eq!(json(&purge)[0]["freed_bytes"], 0, "no group has read it");

    let admin = QueueAdmin::open(folder.path()).unwrap();
    admin.seek_group("orders", "billing", 0, 2_000).unwrap();
    drop(admin);
    assert!(json(&purge)[0]["freed_bytes"].as_u64().unwrap() > 10_000);
    assert_eq!(json(&["ls", path(&folder)])[0]["records"], 0);
    let text = printed(&purge);
    assert!(text.starts_with("freed 0 bytes"), "{text}");
}

#[test]
fn a_folder_that_is_in_use_or_is_not_a_queue_fails() {
    let folder = folder_with(vec![numbered(1)]);
    let admin = QueueAdmin::open(folder.path()).unwrap();
    for command in ["ls", "verify"] {
        let (code, errors) = failed(&run(&[command, path(&folder)]));
        assert_eq!(code, Some(1));
        let pid = format!("process {}", process::id());
        assert!(
            errors.starts_with("broadway-queue: ") && errors.contains(&pid),
            "{errors}"
        );
    }
    drop(admin);
    assert_eq!(json(&["ls", path(&folder)]).len(), 1);

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("notes.txt"), "mine").unwrap();
    for command in [
        &["ls", path(&other)][..],
        &["import", path(&other), "orders"],
    ] {
        let (code, errors) = failed(&run(command));
        assert_eq!(code, Some(1));
        assert!(errors.contains("not the folder of a queue"), "{errors}");
    }
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1);
}

#[test]
fn wrong_arguments_have_their_exit_code() {
    let folder = folder_with(vec![numbered(1)]);
    for arguments in [
        &["list"][..],
        &["move", path(&folder), "orders"],
        &["move", path(&folder), "orders", "--to", "amqp://localhost"],
        &[
            "move",
            path(&folder),
            "orders",
            "--to",
            "kafka://a:1/t",
            "--queue",
            "q",
        ],
    ] {
        let (code, errors) = failed(&run(arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
    }
}
