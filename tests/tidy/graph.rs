//! The crates that a user's build compiles: the default build by name, and for each feature its client, its C code and their number.
//!
//! `cargo tree` resolves features for one package, as a user's build does; `cargo metadata` would unite the features of the whole
//! workspace.

use std::{collections::BTreeSet, process::Command};

use crate::source::root;

/// All crates that a program with the default features compiles, the library included.
const DEFAULT: [&str; 28] = [
    "autocfg",
    "broadway-core",
    "broadway-rs",
    "byteorder",
    "bytes",
    "errno",
    "foldhash",
    "futures-core",
    "futures-macro",
    "futures-task",
    "futures-util",
    "hdrhistogram",
    "libc",
    "mio",
    "num-traits",
    "once_cell",
    "pin-project-lite",
    "proc-macro2",
    "quote",
    "signal-hook-registry",
    "slab",
    "smol_str",
    "syn",
    "tokio",
    "tokio-macros",
    "tracing",
    "tracing-core",
    "unicode-ident",
];

/// One fixed platform: others compile a crate more or less.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The number that README states for its first command.
const FIRST_COMMAND_MAX: usize = 36;

/// The feature of a broker, or of the embedded queue: its client or store, and the only crates in other languages that it may compile.
struct Connector {
    feature: &'static str,
    client: &'static str,
    foreign: &'static [&'static str],
    crates_max: usize,
}

const CONNECTORS: [Connector; 5] = [
    Connector {
        feature: "kafka",
        client: "rdkafka",
        foreign: &["cc", "libz-sys", "openssl-sys", "rdkafka-sys", "zstd-sys"],
        crates_max: 65,
    },
    Connector {
        feature: "rabbitmq",
        client: "lapin",
        foreign: &["aws-lc-rs", "aws-lc-sys", "cc", "cmake"],
        crates_max: 180,
    },
    Connector {
        feature: "sqs",
        client: "aws-sdk-sqs",
        foreign: &["aws-lc-rs", "aws-lc-sys", "cc", "cmake"],
        crates_max: 170,
    },
    Connector {
        feature: "pubsub",
        client: "google-cloud-pubsub",
        foreign: &["aws-lc-rs", "aws-lc-sys", "cc", "cmake"],
        crates_max: 200,
    },
    Connector {
        feature: "queue",
        client: "fjall",
        foreign: &[],
        crates_max: 80,
    },
];

/// The crates that a build of `package` compiles, without tests.
fn crates(package: &str, features: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--locked",
            "--target",
            TARGET,
            "--edges",
            "normal,build",
        ])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(["--package", package, "--features", features])
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The crates that need a compiler of another language.
fn foreign(crates: &BTreeSet<String>) -> Vec<&str> {
    const BUILDERS: [&str; 6] = ["cc", "cmake", "bindgen", "ring", "openssl", "autotools"];
    let names = crates.iter().map(String::as_str);
    names
        // Declarations in Rust, which are built from nothing else.
        .filter(|name| *name != "linux-raw-sys")
        .filter(|name| {
            name.ends_with("-sys") || name.starts_with("aws-lc") || BUILDERS.contains(name)
        })
        .collect()
}

fn default_and<'a>(more: &[&'a str]) -> BTreeSet<&'a str> {
    DEFAULT.iter().chain(more).copied().collect()
}

#[track_caller]
fn assert_crates(features: &str, expected: &BTreeSet<&str>) {
    let found = crates("broadway-rs", features);
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let (new, gone): (Vec<_>, Vec<_>) = (
        found.difference(expected).collect(),
        expected.difference(&found).collect(),
    );
    assert!(
        new.is_empty() && gone.is_empty(),
        "with '{features}' a user compiles {new:?} as well, and {gone:?} not any more: if that is intended, change the list"
    );
}

#[test]
fn the_default_build_compiles_these_crates_and_no_c() {
    assert_crates("default", &default_and(&[]));
    assert_eq!(foreign(&crates("broadway-rs", "")), [""; 0]);
}

#[test]
fn the_first_command_of_the_readme_compiles_few_crates_and_no_c() {
    let found = crates("broadway-examples", "");
    assert_eq!(foreign(&found), [""; 0]);
    let n = found.len();
    assert!(n <= FIRST_COMMAND_MAX, "{n} crates: {found:?}");
}

#[test]
fn the_test_kit_headers_and_the_conformance_suite_come_only_with_their_features() {
    assert_crates("testing", &default_and(&[]));
    let portable = [
        "base64",
        "itoa",
        "memchr",
        "serde_core",
        "serde_json",
        "zmij",
    ];
    assert_crates("portable", &default_and(&portable));
    let network = [&portable[..], &["socket2"]].concat();
    assert_crates("conformance", &default_and(&network));
}

#[test]
fn metrics_bring_the_facade_alone() {
    assert_crates(
        "metrics",
        &default_and(&["metrics", "rapidhash", "rustversion"]),
    );
}

#[test]
fn flows_bring_no_c_and_the_progress_bar_only_with_its_feature() {
    let flow = [
        "broadway-flow",
        "cobs",
        "hashbrown",
        "lru",
        "memchr",
        "postcard",
        "serde",
        "serde_core",
        "serde_derive",
        "thiserror",
        "thiserror-impl",
        "xxhash-rust",
    ];
    assert_crates("flow", &default_and(&flow));
    let bar = ["console", "indicatif", "portable-atomic", "unit-prefix"];
    assert_crates("flow-progress", &default_and(&[&flow[..], &bar].concat()));
    assert_eq!(foreign(&crates("broadway-rs", "flow-progress")), [""; 0]);
}

#[test]
fn each_connector_brings_its_own_client_and_none_of_the_others() {
    for connector in &CONNECTORS {
        let feature = connector.feature;
        let found = crates("broadway-rs", feature);
        for other in &CONNECTORS {
            let there = found.contains(other.client);
            let ours = found.contains(&format!("broadway-{}", other.feature));
            let wanted = other.feature == feature;
            assert_eq!(
                (there, ours),
                (wanted, wanted),
                "{feature}: {}",
                other.client
            );
        }
        assert_eq!(foreign(&found), connector.foreign, "{feature}");
        let n = found.len();
        assert!(
            n <= connector.crates_max,
            "{feature} compiles {n} crates: {found:?}"
        );
    }
}
