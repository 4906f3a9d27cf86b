//! One public type has one name, and one name means one type: a reader who meets `Queue` in a signature must not have to look up which
//! of two it is.
//!
//! The public modules are those that a crate's `lib.rs` reaches through `pub mod`, hidden ones left out. A name may be exported from
//! several of them (`Source` from the root and from `source`) as long as it is the same type.

use std::collections::{BTreeMap, BTreeSet};

use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

use crate::{
    none,
    source::{Source, sources},
};

/// The crates that the facade shows to a user, by the name in paths and the folder.
const CRATES: [(&str, &str); 7] = [
    ("broadway_core", "broadway-core/src/"),
    ("broadway_flow", "broadway-flow/src/"),
    ("broadway_kafka", "connectors/kafka/src/"),
    ("broadway_pubsub", "connectors/pubsub/src/"),
    ("broadway_queue", "connectors/queue/src/"),
    ("broadway_rabbitmq", "connectors/rabbitmq/src/"),
    ("broadway_sqs", "connectors/sqs/src/"),
];

/// Names that connectors repeat for the same role, so that a program moves from one broker to another by changing a path.
const REPEATED_BY_CONNECTORS: [&str; 6] = [
    "AckOptions",
    "OnFailure",
    "OnSuccess",
    "RecordBuilder",
    "StartOffset",
    "Token",
];

/// A path from the name of a crate: modules, and for an item its name at the end.
type Path = Vec<String>;

#[test]
fn no_two_public_types_have_one_name() {
    let mut exports = Exports::default();
    for (name, folder) in CRATES {
        let files = sources(folder);
        exports.collect(&files, folder, vec![name.to_owned()]);
    }
    none(
        exports.shared_names(),
        "these public types share a name: call one of them what tells it from the other",
    );
}

/// For each public module the names of types in it, with the path that each is declared at or re-exported from.
#[derive(Default)]
struct Exports(BTreeMap<Path, BTreeMap<String, Path>>);

impl Exports {
    /// The public types of `module`, and of its public modules.
    fn collect(&mut self, files: &[Source], folder: &str, module: Path) {
        let file = file_of(files, folder, &module[1..]);
        let mut types = BTreeMap::new();
        for item in &file.syntax.items {
            match item {
                Item::Use(item) if is_shown(&item.vis, &item.attrs) => {
                    let mut found = Vec::new();
                    flatten(&item.tree, &[], &mut found);
                    types.extend(found.into_iter().map(|(name, path)| {
                        let path = absolute(files, folder, &module, &path);
                        (name, path)
                    }));
                }
                Item::Mod(item) if item.content.is_none() && is_shown(&item.vis, &item.attrs) => {
                    let mut child = module.clone();
                    child.push(item.ident.to_string());
                    self.collect(files, folder, child);
                }
                _ => {
                    if let Some(name) = declared(item) {
                        let mut path = module.clone();
                        path.push(name.clone());
                        types.insert(name, path);
                    }
                }
            }
        }
        types.retain(|name, _| is_type(name));
        self.0.insert(module, types);
    }

    /// Each name that stands for more than one type, with the modules that export it.
    fn shared_names(&self) -> Vec<String> {
        let mut origins: BTreeMap<&str, BTreeMap<&Path, String>> = BTreeMap::new();
        for (module, types) in &self.0 {
            let is_connector = module[0] != "broadway_core";
            for (name, path) in types {
                if is_connector && REPEATED_BY_CONNECTORS.contains(&name.as_str()) {
                    continue;
                }
                let place = format!("{}::{name}", module.join("::"));
                let origin = self.origin(path);
                origins.entry(name).or_default().insert(origin, place);
            }
        }
        let shared = origins.values().filter(|places| places.len() > 1);
        shared
            .map(|places| {
                let places: BTreeSet<_> = places.values().map(String::as_str).collect();
                places.into_iter().collect::<Vec<_>>().join(", ")
            })
            .collect()
    }

    /// Follows re-exports from public modules to the path that the type is first exported from.
    fn origin<'a>(&'a self, path: &'a Path) -> &'a Path {
        let Some((name, module)) = path.split_last() else {
            return path;
        };
        match self.0.get(module).and_then(|types| types.get(name)) {
            Some(next) if next != path => self.origin(next),
            _ => path,
        }
    }
}

/// The file of a module, by its path below the root of its crate.
fn file_of<'a>(files: &'a [Source], folder: &str, module: &[String]) -> &'a Source {
    let below = module.join("/");
    let paths = if below.is_empty() {
        vec![format!("{folder}lib.rs")]
    } else {
        vec![
            format!("{folder}{below}.rs"),
            format!("{folder}{below}/mod.rs"),
        ]
    };
    let mut files = files.iter();
    files
        .find(|file| paths.contains(&file.path))
        .unwrap_or_else(|| panic!("there is no file {}", paths.join(" or ")))
}

/// A path of a `use`, from the name of its crate. Relative ones begin with a module of `module`.
fn absolute(files: &[Source], folder: &str, module: &Path, path: &[String]) -> Path {
    let (first, rest) = path.split_first().expect("a path has a segment");
    let mut base = match first.as_str() {
        "crate" => module[..1].to_vec(),
        "self" => module.clone(),
        "super" => module[..module.len() - 1].to_vec(),
        name => {
            let file = file_of(files, folder, &module[1..]);
            let is_child = file.syntax.items.iter().any(|item| match item {
                Item::Mod(item) => item.ident == name,
                _ => false,
            });
            if is_child { module.clone() } else { Vec::new() }
        }
    };
    if !matches!(first.as_str(), "crate" | "self" | "super") {
        base.push(first.clone());
    }
    base.extend(rest.iter().cloned());
    base
}

/// The names that a `use` brings in, each with its path.
fn flatten(tree: &UseTree, before: &[String], found: &mut Vec<(String, Path)>) {
    let mut path = before.to_vec();
    match tree {
        UseTree::Path(next) => {
            path.push(next.ident.to_string());
            flatten(&next.tree, &path, found);
        }
        UseTree::Name(name) => {
            path.push(name.ident.to_string());
            found.push((name.ident.to_string(), path));
        }
        UseTree::Rename(rename) => {
            path.push(rename.ident.to_string());
            found.push((rename.rename.to_string(), path));
        }
        UseTree::Glob(_) => {}
        UseTree::Group(group) => {
            for item in &group.items {
                flatten(item, before, found);
            }
        }
    }
}

/// The name of the public type that the item declares.
fn declared(item: &Item) -> Option<String> {
    let (visibility, attributes, name) = match item {
        Item::Struct(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Enum(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Trait(item) => (&item.vis, &item.attrs, &item.ident),
        Item::Type(item) => (&item.vis, &item.attrs, &item.ident),
        _ => return None,
    };
    is_shown(visibility, attributes).then(|| name.to_string())
}

fn is_shown(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    let is_hidden = attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute.to_token_stream().to_string().contains("hidden")
    });
    matches!(visibility, Visibility::Public(_)) && !is_hidden
}

/// Types are in camel case; functions, modules and constants are not.
fn is_type(name: &str) -> bool {
    name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase)
}
