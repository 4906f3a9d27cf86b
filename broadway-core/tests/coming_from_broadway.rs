//! The guide for Broadway's users names a test for each behaviour that Broadway tests: it must exist.

use std::{fs, path::Path};

/// How many tests Broadway's suite has.
const UPSTREAM: usize = 135;

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coming-from-broadway.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands between back-ticks and looks like `module::test_name`.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let pairs = quoted.filter_map(|code| code.split_once("::"));
    pairs.filter(|(_, name)| is_test_name(name)).collect()
}

fn is_test_name(name: &str) -> bool {
    let in_words = name.split('_').count() > 2;
    in_words
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether the function is there, right behind a test attribute.
fn exists(module: &str, name: &str) -> bool {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = [format!("pipeline/{module}.rs"), format!("{module}.rs")];
    let declared = format!("fn {name}() {{");
    files
        .iter()
        .filter_map(|file| fs::read_to_string(tests.join(file)).ok())
        .any(|text| {
            let lines: Vec<&str> = text.lines().collect();
            lines.windows(2).any(|pair| {
                let is_test =
                    pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test");
                is_test && pair[1].ends_with(&declared)
            })
        })
}

#[test]
fn every_test_that_the_guide_names_exists() {
    let guide = guide();
    let named = named(&guide);
    assert!(named.len() > 100, "found only {} names", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|(module, name)| !exists(module, name))
        .collect();
    assert!(
        missing.is_empty(),
        "the guide names tests that do not exist: {missing:#?}"
    );
}

#[test]
fn every_test_of_broadway_is_in_the_guide() {
    let guide = guide();
    let (_, table) = guide
        .split_once("## Broadway's tests, one by one")
        .expect("the heading");
    let rows = table
        .lines()
        .filter(|line| line.starts_with("| ") && *line != "| Broadway | here |");
    assert_eq!(rows.clone().count(), UPSTREAM);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 2, "{row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}
