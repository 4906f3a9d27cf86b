//! Which folder may import which.

use std::fs;

use syn::UseTree;

use crate::{
    none,
    source::{Source, files, root, sources},
};

fn complaints(folder: &str, patterns: &[&str]) -> Vec<String> {
    let files = sources(folder);
    files
        .iter()
        .flat_map(|file| file.find_in_code(patterns))
        .collect()
}

/// A machine that waits or reads a clock could be tested neither quickly nor repeatably.
#[test]
fn machines_know_no_runtime_and_no_clock() {
    const PATTERNS: [&str; 7] = [
        "tokio",
        "async",
        "await",
        "SystemTime",
        "Instant :: now",
        "Mutex",
        "RwLock",
    ];
    let mut found = complaints("broadway-core/src/machine/", &PATTERNS);
    found.extend(complaints("broadway-flow/src/machine/", &PATTERNS));
    found.retain(|complaint| !complaint.contains("/tests.rs:"));
    none(
        found,
        "machines are pure: take `now` and random numbers as values, and wait and lock in `engine/`, `stage/` or `pipeline/`",
    );
}

/// Tasks that are spawned in one place can be counted, awaited and aborted there, so that none outlives its topology.
#[test]
fn tasks_are_started_and_raced_in_engine_and_stage_only() {
    let patterns = [
        "tokio :: spawn",
        "task :: spawn",
        "thread :: spawn",
        "thread :: Builder",
        "spawn_blocking",
        "JoinSet",
        "select !",
        "select_biased !",
    ];
    /// The test kit's proxy stands for a network and not for a part of a topology: its tasks end with it. A connector's client
    /// needs a thread that no handler can block; it ends with the last producer or acknowledger that uses it.
    const EXCEPTIONS: [&str; 2] = [
        "broadway-core/src/testing/proxy",
        "broadway-core/src/connector/runtime.rs",
    ];
    let mut found = complaints("broadway-core/src/", &patterns);
    found.retain(|complaint| {
        !complaint.starts_with("broadway-core/src/engine/")
            && !complaint.starts_with("broadway-core/src/stage/")
            && !EXCEPTIONS.iter().any(|path| complaint.starts_with(path))
            && !complaint.contains("/tests.rs:")
    });
    none(
        found,
        "tasks are spawned and raced in broadway-core/src/engine and stage only: add a function there, named after its purpose",
    );
}

/// Pipelines and stages both build on the engine and do not import each other.
#[test]
fn engine_pipeline_and_stage_keep_their_layers() {
    let engine = "broadway-core/src/engine/";
    let mut found = imports(engine, "pipeline");
    found.extend(imports(engine, "stage"));
    found.extend(imports("broadway-core/src/pipeline/", "stage"));
    found.extend(imports("broadway-core/src/stage/", "pipeline"));
    none(
        found,
        "`engine` imports neither `pipeline` nor `stage`, and these two do not import each other: move what both need into `engine/`, \
         `machine/` or the contract",
    );
}

/// The places below `folder` that name `module` of the crate.
fn imports(folder: &str, module: &str) -> Vec<String> {
    let by_path = format!("crate :: {module}");
    let mut found = complaints(folder, &[&by_path, &format!("super :: {module}")]);
    for file in sources(folder) {
        found.extend(grouped_imports(&file, module));
    }
    found
}

/// `use crate::{module::…}`.
fn grouped_imports(file: &Source, module: &str) -> Vec<String> {
    let uses = file.syntax.items.iter().filter_map(|item| match item {
        syn::Item::Use(item) => Some(item),
        _ => None,
    });
    uses.filter(|item| match &item.tree {
        UseTree::Path(path) if path.ident == "crate" || path.ident == "super" => {
            match &*path.tree {
                UseTree::Group(group) => group.items.iter().any(|tree| begins_with(tree, module)),
                _ => false,
            }
        }
        _ => false,
    })
    .map(|item| format!("{}:{}: {module}", file.path, crate::source::lines(item).0))
    .collect()
}

fn begins_with(tree: &UseTree, module: &str) -> bool {
    match tree {
        UseTree::Path(path) => path.ident == module,
        UseTree::Name(name) => name.ident == module,
        UseTree::Rename(rename) => rename.ident == module,
        UseTree::Glob(_) | UseTree::Group(_) => false,
    }
}

/// Connectors depend on the core and never the reverse, so a user compiles only the clients that they chose.
#[test]
fn the_core_names_no_broker_client() {
    const CLIENTS: [&str; 6] = ["rdkafka", "aws", "lapin", "google", "gcloud", "tonic"];
    let mut found = Vec::new();
    for (path, text) in files("toml") {
        let lines = text.lines().enumerate();
        let named = lines.filter(|(_, line)| CLIENTS.iter().any(|client| line.starts_with(client)));
        if path == "broadway-core/Cargo.toml" {
            found.extend(named.map(|(index, line)| format!("{path}:{}: {line}", index + 1)));
        }
    }
    found.extend(complaints("broadway-core/", &["rdkafka", "lapin"]));
    none(
        found,
        "code for one broker belongs into its connector, behind `Source` and `Acknowledger`",
    );
}

/// Memory safety rests on arguments in one folder only, where each argument is written beside its block.
#[test]
fn unsafe_code_is_in_one_module_only() {
    let files = sources("");
    // The benchmark of Kafka reads as the connector does, which the safe client cannot.
    let files = files.iter().filter(|file| {
        !file.path.starts_with("connectors/kafka/src/ffi") && file.path != "benches/bare/kafka.rs"
    });
    none(
        files.flat_map(|file| file.find(&["unsafe"])).collect(),
        "only connectors/kafka/src/ffi may be unsafe: find a safe way",
    );
}

/// A variable moves a test broker to another port; a port written into a test would not move.
#[test]
fn ports_of_test_brokers_are_defined_in_one_place() {
    let list = fs::read_to_string(root().join("scripts/brokers.env")).expect("it can be read");
    let ports = list.lines().filter_map(|line| line.split_once('='));
    let ports: Vec<_> = ports
        .map(|(_, port)| port)
        .filter(|port| !port.is_empty())
        .collect();
    assert!(ports.len() >= 10, "scripts/brokers.env lists {ports:?}");
    let mut found = Vec::new();
    // Examples are copied one by one, so each shows its address. The test of the file itself asserts its content.
    const EXCEPTIONS: [&str; 2] = ["examples/", "tests/brokers/tests/ports.rs"];
    for (path, text) in files("rs") {
        if EXCEPTIONS
            .iter()
            .any(|exception| path.starts_with(exception))
        {
            continue;
        }
        for (index, line) in text.lines().enumerate() {
            if ports.iter().any(|port| line.contains(port)) {
                found.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    none(found, "take the address from `broadway_test_brokers`");
}

/// A crate that does not inherit the lints is not checked by them.
#[test]
fn every_crate_inherits_the_lints() {
    /// `forbid` can't be lifted for one file, so a crate with unsafe code repeats the list with `deny`.
    const OWN_LINTS: [&str; 2] = ["connectors/kafka/Cargo.toml", "benches/Cargo.toml"];
    let manifests = files("toml")
        .into_iter()
        .filter(|(path, text)| path.ends_with("Cargo.toml") && text.contains("[package]"));
    let found = manifests.filter(|(path, text)| {
        let inherits = text
            .replace("\r\n", "\n")
            .contains("[lints]\nworkspace = true");
        let own = OWN_LINTS.contains(&path.as_str()) && text.contains("unsafe_code = \"deny\"");
        !inherits && !own
    });
    none(
        found.map(|(path, _)| path).collect(),
        "add `[lints]` with `workspace = true` to the manifest",
    );
}
