//! The connectors read like one book: the same files for the same things, the same sections in their pages.

use std::{collections::BTreeSet, fs};

use crate::{
    none,
    source::{root, sources},
};

const CONNECTORS: [&str; 5] = ["kafka", "pubsub", "queue", "rabbitmq", "sqs"];

/// Files of every connector, below `src/`. A connector has further files for its broker.
const COMMON_FILES: [&str; 13] = [
    "ack.rs",
    "config.rs",
    "connect.rs",
    "error.rs",
    "lag.rs",
    "lib.rs",
    "options.rs",
    "publisher.rs",
    "publisher/builder.rs",
    "publisher/convert.rs",
    "record.rs",
    "source.rs",
    "testing.rs",
];

#[test]
fn connectors_have_the_same_files_for_the_same_things() {
    let mut missing = Vec::new();
    for connector in CONNECTORS {
        let folder = format!("connectors/{connector}/src/");
        let files: BTreeSet<String> = sources(&folder)
            .into_iter()
            .map(|file| file.path.replacen(&folder, "", 1))
            .collect();
        let absent = COMMON_FILES.iter().filter(|file| !files.contains(**file));
        missing.extend(absent.map(|file| format!("{folder}{file}")));
    }
    none(
        missing,
        "each connector has these files; docs/writing-a-connector.md lists what they contain",
    );
}

#[test]
fn pages_of_connectors_have_the_same_sections() {
    let sections = |connector: &str| -> Vec<String> {
        let page = root().join(format!("docs/{connector}.md"));
        let text = fs::read_to_string(page).expect("the page of a connector can be read");
        let sections = text.lines().filter_map(|line| line.strip_prefix("## "));
        sections.map(str::to_owned).collect()
    };
    let model = sections("kafka");
    assert!(model.len() > 8, "docs/kafka.md has the sections {model:?}");
    for connector in CONNECTORS {
        let found = sections(connector);
        assert_eq!(found, model, "the sections of docs/{connector}.md");
    }
}
