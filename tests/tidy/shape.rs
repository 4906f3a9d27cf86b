//! The shape of files: short, with short functions, opened by their purpose.

use std::fs;

use syn::visit::{self, Visit};

use crate::{
    none,
    source::{Source, files, lines, root, sources},
};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// A longer file is read in parts anyway, so the parts get names.
#[test]
fn files_are_small() {
    let found = files("rs").into_iter().filter_map(|(path, text)| {
        let n = text.lines().count();
        (n > FILE_LINES_MAX).then(|| format!("{path}:{n}: {n} lines"))
    });
    none(
        found.collect(),
        "split the file by topic: 500 lines at most",
    );
}

/// A function that fits a screen can be read without scrolling.
#[test]
fn functions_fit_a_screen() {
    /// Lists and tables.
    const EXCEPTIONS: [(&str, &str); 2] = [
        ("broadway-core/src/telemetry/metrics/handles.rs", "record"),
        ("broadway-core/src/telemetry/samples.rs", "every_event"),
    ];
    let mut found: Vec<_> = sources("").iter().flat_map(long_functions).collect();
    found.retain(|complaint| {
        let named = |(path, function): &(&str, &str)| {
            complaint.starts_with(path) && complaint.contains(&format!(" {function} "))
        };
        !EXCEPTIONS.iter().any(named)
    });
    none(
        found,
        "let one function decide and others compute: 70 lines at most",
    );
}

fn long_functions(file: &Source) -> Vec<String> {
    let mut functions = Functions {
        path: &file.path,
        long: Vec::new(),
    };
    functions.visit_file(&file.syntax);
    functions.long
}

struct Functions<'a> {
    path: &'a str,
    long: Vec<String>,
}

impl Functions<'_> {
    /// Counts from the signature, so documentation has no limit.
    fn check(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let ((first, _), (_, last)) = (lines(signature), lines(body));
        let n = last - first + 1;
        if n > FUNCTION_LINES_MAX {
            self.long.push(format!(
                "{}:{first}: {} has {n} lines",
                self.path, signature.ident
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.check(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// The first line of a file is its purpose.
#[test]
fn every_file_opens_with_its_purpose() {
    // The name `tests.rs` is purpose enough.
    let found = files("rs")
        .into_iter()
        .filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("/tests.rs"));
    none(
        found.map(|(path, _)| format!("{path}:1")).collect(),
        "begin the file with `//!`: why it exists, and how its parts move",
    );
}

/// `mod.rs` is the map of its folder; readers do not look for code there.
#[test]
fn mod_files_hold_documentation_and_re_exports_only() {
    /// With the items that they hold.
    const EXCEPTIONS: [(&str, &str); 2] = [
        (
            "broadway-core/src/source/mod.rs",
            "the traits that the folder is about",
        ),
        (
            "broadway-core/src/telemetry/mod.rs",
            "the trait that the folder is about",
        ),
    ];
    let mut found = Vec::new();
    for file in sources("") {
        let excepted = EXCEPTIONS.iter().any(|(path, _)| *path == file.path);
        let is_map = file.path.contains("src/") && file.path.ends_with("/mod.rs");
        if !is_map || excepted {
            continue;
        }
        let code = file.syntax.items.iter().filter(|item| {
            !matches!(item, syn::Item::Mod(item) if item.content.is_none())
                && !matches!(item, syn::Item::Use(_))
        });
        found.extend(code.map(|item| format!("{}:{}", file.path, lines(item).0)));
    }
    none(
        found,
        "move the code into a file that is named after it, and re-export it",
    );
}

/// Cargo does not discover them, since they lie beside the manifests of their packages.
#[test]
fn every_example_benchmark_and_test_is_in_its_manifest() {
    let mut found = Vec::new();
    for folder in ["benches", "examples", "tests"] {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml"))
            .expect("the folder is a package");
        for (path, text) in files("rs") {
            let Some(path) = path
                .strip_prefix(folder)
                .and_then(|path| path.strip_prefix('/'))
            else {
                continue;
            };
            let is_program = path.ends_with("/main.rs") && path.matches('/').count() == 1
                || !path.contains('/') && (text.contains("fn main(") || text.contains("#[test]"));
            if is_program && !manifest.contains(&format!("path = \"{path}\"")) {
                found.push(format!("{folder}/{path}"));
            }
        }
    }
    none(
        found,
        "name it in the manifest of its folder, with its `path`",
    );
}

/// Unfinished work belongs into an issue, not into the code.
#[test]
fn no_unfinished_code_is_left() {
    let patterns = ["todo !", "unimplemented !", "dbg !", "# [ ignore"];
    none(
        sources("")
            .iter()
            .flat_map(|file| file.find(&patterns))
            .collect(),
        "finish it or leave it out; a test that needs a service prints that it is skipped, and passes without it",
    );
}

/// A test that sleeps is slow on a good day and fails on a slow machine.
#[test]
fn tests_do_not_sleep() {
    let files = sources("");
    let tests = files
        .iter()
        .filter(|file| file.is_test() || file.text.contains("#[cfg(test)]"));
    none(
        tests
            .flat_map(|file| file.find(&["thread :: sleep"]))
            .collect(),
        "wait for the event itself: a channel, a future, or paused time",
    );
}
