//! Documents: their links resolve, decisions are numbered, and the map of the code names existing files.

use std::{collections::BTreeSet, path::Path};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::{
    none,
    source::{files, root},
};

/// A broken link sends the reader away.
#[test]
fn links_in_documents_resolve() {
    let mut found = Vec::new();
    for (path, text) in documents() {
        let folder = root()
            .join(&path)
            .parent()
            .expect("a file has a folder")
            .to_path_buf();
        for (event, range) in Parser::new(&text).into_offset_iter() {
            let (Event::Start(Tag::Link { dest_url, .. })
            | Event::Start(Tag::Image { dest_url, .. })) = event
            else {
                continue;
            };
            if !leads_nowhere(&folder, &dest_url) {
                continue;
            }
            let line = text[..range.start].lines().count().max(1);
            found.push(format!("{path}:{line}: {dest_url}"));
        }
    }
    none(found, "correct the link, or add the page");
}

fn leads_nowhere(folder: &Path, link: &str) -> bool {
    let file = link.split('#').next().unwrap_or_default();
    // Documents that become module documentation link to Rust items.
    let elsewhere = file.is_empty()
        || file.contains("://")
        || file.starts_with("mailto:")
        || file.contains("::");
    !elsewhere && !folder.join(file).exists()
}

/// All pages of the project, `CHANGELOG.md` and `docs/` included.
fn documents() -> Vec<(String, String)> {
    files("md")
}

/// Decisions are cited by number, so each number is used once.
#[test]
fn decisions_are_numbered_and_indexed() {
    let decisions: Vec<_> = documents()
        .into_iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("docs/decisions/")?.to_owned(), text)))
        .collect();
    let index = decisions
        .iter()
        .find(|(name, _)| name == "README.md")
        .map(|(_, text)| text);
    let mut numbers = BTreeSet::new();
    let mut found = Vec::new();
    for (name, _) in decisions.iter().filter(|(name, _)| name != "README.md") {
        let (number, title) = name.split_at_checked(3).unwrap_or_default();
        let numbered = number.bytes().all(|byte| byte.is_ascii_digit()) && title.starts_with('-');
        let listed = index.is_none_or(|index| index.contains(name.as_str()));
        if !numbered || !listed || !numbers.insert(number) {
            found.push(format!("docs/decisions/{name}"));
        }
    }
    none(
        found,
        "name decisions NNN-title.md, each with a number of its own, and list them in docs/decisions/README.md if there is one",
    );
}

/// `ARCHITECTURE.md` names files relative to the root, to `broadway-core/src/`, or to the folder in the heading of their section.
/// `connectors/X/` stands for each connector.
#[test]
fn the_map_of_the_code_names_existing_files() {
    let (_, text) = documents()
        .into_iter()
        .find(|(path, _)| path == "ARCHITECTURE.md")
        .expect("the map exists");
    let (mut folder, mut in_heading) = (String::new(), false);
    let (mut named, mut found) = (0, Vec::new());
    for (event, range) in Parser::new_ext(&text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => {
                folder.clear();
                in_heading = true;
            }
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Code(code) if in_heading && code.ends_with('/') => folder = code.to_string(),
            Event::Code(code) if names_a_file(&code) => {
                named += 1;
                let exists = ["", "broadway-core/src/", &folder]
                    .iter()
                    .any(|base| exists(&format!("{base}{code}")));
                if !exists {
                    let line = text[..range.start].lines().count().max(1);
                    found.push(format!("ARCHITECTURE.md:{line}: {code}"));
                }
            }
            _ => {}
        }
    }
    assert!(named > 150, "the map names {named} files only");
    none(found, "name the file as it is called now");
}

fn names_a_file(code: &str) -> bool {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./<>".contains(c);
    (code.ends_with(".rs") || code.ends_with('/')) && code.chars().all(is_path)
}

fn exists(path: &str) -> bool {
    let path = path.replace("<name>", "X");
    let mut connectors = ["kafka", "pubsub", "queue", "rabbitmq", "sqs"].iter();
    match path.split_once("/X/") {
        Some((before, after)) => {
            connectors.all(|name| root().join(before).join(name).join(after).exists())
        }
        None => root().join(path).exists(),
    }
}
