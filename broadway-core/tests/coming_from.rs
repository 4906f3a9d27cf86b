//! The guides for users of Broadway, GenStage and Flow name a test for each behaviour that those test: it must exist.

use std::{fs, path::Path};

/// A guide that ends in a table of all tests of a library.
struct Guide {
    file: &'static str,
    upstream: &'static str,
    /// How many tests its suite has.
    tests: usize,
    /// Where ours are, from the tests of this crate.
    folder: &'static str,
}

const BROADWAY: Guide = Guide {
    file: "coming-from-broadway.md",
    upstream: "Broadway",
    tests: 135,
    folder: "pipeline",
};

const GENSTAGE: Guide = Guide {
    file: "coming-from-genstage.md",
    upstream: "GenStage",
    tests: 212,
    folder: "stage",
};

const FLOW: Guide = Guide {
    file: "coming-from-flow.md",
    upstream: "Flow",
    tests: 211,
    folder: "../../broadway-flow/tests/flow",
};

impl Guide {
    fn text(&self) -> String {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let path = docs.join(self.file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether the function is there, right behind a test attribute.
    fn exists(&self, module: &str, name: &str) -> bool {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let module = module.replace("::", "/");
        let files = [
            format!("{}/{module}.rs", self.folder),
            format!("{module}.rs"),
        ];
        files
            .iter()
            .filter_map(|file| fs::read_to_string(tests.join(file)).ok())
            .any(|text| declares(&text, name))
    }

    fn check_names(&self) {
        let text = self.text();
        let named = named(&text);
        assert!(named.len() > 100, "found only {} names", named.len());
        let missing: Vec<_> = named
            .iter()
            .filter(|(module, name)| !self.exists(module, name))
            .collect();
        assert!(
            missing.is_empty(),
            "{} names tests that do not exist: {missing:#?}",
            self.file
        );
    }

    fn check_rows(&self) {
        let text = self.text();
        let heading = format!("## {}'s tests, one by one", self.upstream);
        let head = format!("| {} | here |", self.upstream);
        let (_, table) = text.split_once(&heading).expect("the heading");
        let rows = table
            .lines()
            .filter(|line| line.starts_with("| ") && *line != head);
        assert_eq!(rows.clone().count(), self.tests);
        for row in rows {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            assert_eq!(cells.len(), 2, "{row}");
            assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        }
    }
}

/// What stands between back-ticks and looks like `module::test_name`.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let pairs = quoted.filter_map(|code| code.rsplit_once("::"));
    pairs.filter(|(_, name)| is_test_name(name)).collect()
}

fn is_test_name(name: &str) -> bool {
    let in_words = name.split('_').count() > 2;
    in_words
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn declares(text: &str, name: &str) -> bool {
    let declared = format!("fn {name}(");
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    lines.windows(2).any(|pair| {
        let is_test = pair[0].starts_with("#[test]") || pair[0].starts_with("#[tokio::test");
        let function = pair[1].strip_prefix("async ").unwrap_or(pair[1]);
        is_test && function.starts_with(&declared)
    })
}

#[test]
fn every_test_that_the_guide_for_broadways_users_names_exists() {
    BROADWAY.check_names();
}

#[test]
fn every_test_of_broadway_is_in_the_guide() {
    BROADWAY.check_rows();
}

#[test]
fn every_test_that_the_guide_for_genstages_users_names_exists() {
    GENSTAGE.check_names();
}

#[test]
fn every_test_of_genstage_is_in_the_guide() {
    GENSTAGE.check_rows();
}

#[test]
fn every_test_that_the_guide_for_flows_users_names_exists() {
    FLOW.check_names();
}

#[test]
fn every_test_of_flow_is_in_the_guide() {
    FLOW.check_rows();
}
