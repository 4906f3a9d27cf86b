//! Files of one folder do not import each other in circles, so a reader of one file needs only those below it.
//!
//! A file imports another if it names the other's module in a path, or a name of the other that a parent re-exports. `x.rs` and the
//! files in `x/` count as one: a parent and its parts may import each other.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::{Item, UseTree, visit::Visit};

use crate::{
    none,
    source::{Source, sources},
};

/// Files that may import each other, by the beginning of their paths, with the reason.
const EXCEPTIONS: &[(&[&str], &str)] = &[];

/// A path of module names from the root of a crate.
type Module = Vec<String>;

/// A crate's modules: the file of each, and what each re-exports from where.
struct Crate<'a> {
    files: BTreeMap<Module, &'a Source>,
    re_exports: BTreeMap<(Module, String), Vec<String>>,
}

#[test]
fn files_of_a_folder_form_no_circle() {
    let crates = [
        "broadway-core/src/",
        "broadway-flow/src/",
        "connectors/kafka/src/",
        "connectors/pubsub/src/",
        "connectors/sqs/src/",
        "src/",
    ];
    let found = crates.iter().flat_map(|root| circles(root)).collect();
    none(
        found,
        "these files import each other: move the type that both need into the lower of them, or into a file below both",
    );
}

fn circles(root: &str) -> Vec<String> {
    let all = sources(root);
    let files = all.iter().filter(|file| !file.is_test());
    let files = files.map(|file| (module_of(&file.path, root), file));
    let mut krate = Crate {
        files: files.collect(),
        re_exports: BTreeMap::new(),
    };
    let re_exports = krate.files.iter();
    let re_exports: Vec<_> = re_exports
        .flat_map(|(module, file)| re_exports_of(module, file))
        .collect();
    krate.re_exports.extend(re_exports);
    let arrows: Vec<Arrow<'_>> = krate.arrows();
    let folders: BTreeSet<&[String]> = krate
        .files
        .keys()
        .filter_map(|module| module.split_last())
        .map(|(_, folder)| folder)
        .collect();
    folders
        .into_iter()
        .flat_map(|folder| circles_of(folder, &arrows))
        .collect()
}

/// The circles between the modules of one folder, each with the imports that close it.
fn circles_of(folder: &[String], arrows: &[Arrow<'_>]) -> Vec<String> {
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let child = |module: &'_ Module| {
        module
            .strip_prefix(folder)
            .and_then(|rest| rest.first())
            .cloned()
    };
    let mut inside = Vec::new();
    for arrow in arrows {
        if let (Some(from), Some(to)) = (child(arrow.from), child(arrow.to))
            && from != to
        {
            inside.push((from, to, arrow));
        }
    }
    for (from, to, _) in &inside {
        imports.entry(from).or_default().insert(to);
    }
    let mut complaints = Vec::new();
    for circle in strongly_connected(&imports) {
        let tied = inside.iter().filter(|(from, to, _)| {
            circle.contains(&from.as_str()) && circle.contains(&to.as_str())
        });
        let paths: BTreeSet<(&str, &str)> = tied.map(|(_, _, arrow)| arrow.paths).collect();
        if !is_excepted(&paths) {
            let lines = paths.iter().map(|(from, to)| format!("{from} -> {to}"));
            complaints.push(lines.collect::<Vec<_>>().join("\n    ") + "\n");
        }
    }
    complaints
}

fn is_excepted(paths: &BTreeSet<(&str, &str)>) -> bool {
    EXCEPTIONS.iter().any(|(files, _reason)| {
        let listed = |path: &str| files.iter().any(|file| path.starts_with(file));
        paths.iter().all(|(from, to)| listed(from) && listed(to))
    })
}

fn module_of(path: &str, root: &str) -> Module {
    let path = path.strip_prefix(root).expect("it is below the root");
    let mut parts: Module = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib")) {
        parts.pop();
    }
    parts
}

/// One file imports another.
struct Arrow<'a> {
    from: &'a Module,
    to: &'a Module,
    paths: (&'a str, &'a str),
}

/// The re-exports of a module's file: (module, name) to the path of the item.
fn re_exports_of(module: &Module, file: &Source) -> Vec<((Module, String), Vec<String>)> {
    let uses = file.syntax.items.iter().filter_map(|item| match item {
        Item::Use(item) if !matches!(item.vis, syn::Visibility::Inherited) => Some(&item.tree),
        _ => None,
    });
    let paths = uses.flat_map(|tree| {
        let mut paths = Vec::new();
        flatten(tree, &[], &mut paths);
        paths
    });
    paths
        .filter_map(|path| {
            let name = path.last()?.clone();
            Some(((module.clone(), name), path))
        })
        .collect()
}

fn flatten(tree: &UseTree, before: &[String], paths: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    match tree {
        UseTree::Path(next) => {
            path.push(next.ident.to_string());
            flatten(&next.tree, &path, paths);
        }
        UseTree::Name(name) => {
            if name.ident != "self" {
                path.push(name.ident.to_string());
            }
            paths.push(path);
        }
        UseTree::Rename(rename) => {
            path.push(rename.ident.to_string());
            paths.push(path);
        }
        UseTree::Glob(_) => paths.push(path),
        UseTree::Group(group) => {
            for item in &group.items {
                flatten(item, before, paths);
            }
        }
    }
}

impl<'a> Crate<'a> {
    fn arrows(&'a self) -> Vec<Arrow<'a>> {
        let files = self.files.iter();
        let arrows = files.flat_map(|(from, file)| {
            let to = self.imports(from, file).into_iter();
            to.map(move |to| Arrow {
                from,
                to,
                paths: (&file.path, &self.files[to].path),
            })
        });
        arrows.collect()
    }

    /// The files that this one imports, outside its tests.
    fn imports(&self, module: &Module, file: &Source) -> BTreeSet<&Module> {
        let mut paths = Paths::default();
        for item in &file.syntax.items {
            if !crate::source::is_for_tests(item) {
                paths.visit_item(item);
            }
        }
        let targets = paths
            .0
            .iter()
            .filter_map(|path| self.target(module, path, 0));
        targets.filter(|target| *target != module).collect()
    }

    /// The file in which the path, used in `module`, ends.
    fn target(&self, module: &Module, path: &[String], depth: usize) -> Option<&Module> {
        let mut at = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                at.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = at.clone();
                child.push(first.to_owned());
                if !self.files.contains_key(&child) {
                    return None;
                }
            }
        }
        self.resolve(at, rest, depth)
    }

    fn resolve(&self, mut at: Module, mut rest: &[String], depth: usize) -> Option<&Module> {
        while let Some(name) = rest.first() {
            let mut child = at.clone();
            child.push(name.clone());
            if self.files.contains_key(&child) {
                at = child;
                rest = &rest[1..];
                continue;
            }
            if depth < 8
                && let Some(path) = self.re_exports.get(&(at.clone(), name.clone()))
                && let Some(target) = self.target(&at, path, depth + 1)
            {
                return Some(target);
            }
            break;
        }
        self.files.get_key_value(&at).map(|(module, _)| module)
    }
}

/// All paths in code: of `use` and of expressions, types and patterns.
#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        flatten(&item.tree, &[], &mut self.0);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.0.push(parts.collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        // An inline module's `super` is this file.
        if item.content.is_some() && !item.to_token_stream().to_string().contains("cfg (test)") {
            syn::visit::visit_item_mod(self, item);
        }
    }
}

/// Groups of modules in which each reaches each.
fn strongly_connected<'a>(
    imports: &BTreeMap<&'a str, BTreeSet<&'a str>>,
) -> Vec<BTreeSet<&'a str>> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for from in imports.keys() {
        let mut seen = BTreeSet::new();
        let mut next = vec![*from];
        while let Some(module) = next.pop() {
            let further = imports.get(module).into_iter().flatten();
            next.extend(further.filter(|to| seen.insert(**to)));
        }
        reached.insert(from, seen);
    }
    let mut found: Vec<BTreeSet<&str>> = Vec::new();
    for (module, to) in &reached {
        let known = found.iter().any(|circle| circle.contains(module));
        if !known && to.contains(module) {
            let both_ways = |other: &&&str| {
                reached
                    .get(**other)
                    .is_some_and(|back| back.contains(module))
            };
            found.push(to.iter().filter(both_ways).copied().collect());
        }
    }
    found
}
