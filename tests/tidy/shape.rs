//! How files look.

use std::fs;

use syn::visit::{self, Visit};

use crate::{
    none,
    source::{Source, files, lines, root, sources},
};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What is longer is read in pieces anyway: better in pieces that have names.
#[test]
fn files_are_small() {
    let found = files("rs").into_iter().filter_map(|(path, text)| {
        let n = text.lines().count();
        (n > FILE_LINES_MAX).then(|| format!("{path}:{n}: {n} lines"))
    });
    none(
        found.collect(),
        "split the file by what a reader looks for: 500 lines at most",
    );
}

/// A function is understood when all of it is in sight.
#[test]
fn functions_fit_a_screen() {
    /// Lists and tables, which are read line by line.
    const EXCEPTIONS: [(&str, &str); 3] = [
        ("benches/scenarios.rs", "batches"),
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
    /// Counted from the signature: documentation may be as long as it likes.
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

/// Whoever opens a file should learn why it exists before how it works.
#[test]
fn every_file_says_why_it_exists() {
    // A file named `tests.rs` has said it.
    let found = files("rs")
        .into_iter()
        .filter(|(path, text)| !text.starts_with("//!") && !path.ends_with("/tests.rs"));
    none(
        found.map(|(path, _)| format!("{path}:1")).collect(),
        "begin the file with `//!`: why it exists, and how its parts move",
    );
}

/// Nobody looks for code in `mod.rs`: it is the map of its folder.
#[test]
fn mod_files_hold_documentation_and_re_exports_only() {
    /// With what stands there.
    const EXCEPTIONS: [(&str, &str); 2] = [
        (
            "broadway-core/src/source/mod.rs",
            "the two traits that the folder is about",
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

/// Cargo finds none by itself, as they lie beside the manifests of their packages.
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

/// What is not done is not in the product; it is in the list of issues.
#[test]
fn nothing_is_left_to_be_done() {
    let patterns = ["todo !", "unimplemented !", "dbg !", "# [ ignore"];
    none(
        sources("")
            .iter()
            .flat_map(|file| file.find(&patterns))
            .collect(),
        "finish it or leave it out; a test that needs a service says so and passes without it",
    );
}

/// A test that sleeps is slow when all is well, and fails when the machine is slow.
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
        "wait for what happens: a channel, a future, or paused time",
    );
}
