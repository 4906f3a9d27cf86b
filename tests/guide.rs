//! Guides show code of the examples, and links in pages resolve.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

/// Checks that each block that names a file is part of that file. Returns the number of blocks.
fn blocks_in_code(guide: &str, folder: &str) -> usize {
    let guide = read(&root().join(guide));
    let (mut file, mut block, mut n) = (None, String::new(), 0);
    for event in Parser::new(&guide) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                file = info.strip_prefix("rust ").map(str::to_owned);
                block.clear();
            }
            Event::Text(text) => block.push_str(&text),
            Event::End(TagEnd::CodeBlock) => {
                let Some(file) = file.take() else { continue };
                let path = root().join(folder).join(&file);
                let code = read(&path);
                let (code, shown) = (lines(&code), lines(&block));
                let is_part = code.windows(shown.len()).any(|window| window == shown);
                assert!(is_part, "{file} does not contain these lines:\n{block}");
                n += 1;
            }
            _ => {}
        }
    }
    n
}

#[test]
fn every_block_of_the_guide_to_connectors_is_in_the_example() {
    let n = blocks_in_code("docs/writing-a-connector.md", "examples/own_connector");
    assert!(n >= 10, "only {n} blocks of the guide name a file");
}

#[test]
fn every_block_of_the_guide_to_services_is_in_the_example() {
    let n = blocks_in_code("docs/first-service.md", "examples/service");
    assert!(n >= 5, "only {n} blocks of the guide name a file");
}

#[test]
fn every_block_of_the_page_about_testing_is_a_test() {
    let n = blocks_in_code("docs/testing.md", "tests/testing_page");
    assert!(n >= 5, "only {n} blocks of the page name a file");
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let folders = [
        root().to_owned(),
        root().join("docs"),
        root().join("docs/decisions"),
    ];
    for folder in folders {
        let files = fs::read_dir(folder)
            .expect("a folder of pages")
            .map(|entry| entry.expect("an entry").path());
        pages.extend(files.filter(|file| file.extension().is_some_and(|end| end == "md")));
    }
    pages
}

/// The anchors of the headings of a page: lower case, hyphens for spaces, no punctuation.
fn anchors(page: &Path) -> Vec<String> {
    let text = read(page);
    let (mut anchors, mut heading) = (Vec::new(), None::<String>);
    for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => anchors.extend(heading.take().as_deref().map(anchor)),
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns the problem with a link, if any. Links to other sites are not checked.
fn broken(page: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => page.to_owned(),
        file => page.parent()?.join(file),
    };
    if !target.exists() {
        return Some(format!("{}: no file {link}", page.display()));
    }
    let is_page = target.extension().is_some_and(|end| end == "md");
    if heading.is_empty() || !is_page || anchors(&target).iter().any(|known| known == heading) {
        return None;
    }
    Some(format!("{}: no heading {link}", page.display()))
}

#[test]
fn every_link_of_the_pages_resolves() {
    let mut wrong = Vec::new();
    let mut n = 0;
    for page in pages() {
        let text = read(&page);
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            if let Event::Start(Tag::Link { dest_url, .. }) = event {
                n += 1;
                wrong.extend(broken(&page, &dest_url));
            }
        }
    }
    assert!(n > 50, "only {n} links");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn how_do_i_answers_at_least_thirty_questions() {
    let text = read(&root().join("docs/how-do-i.md"));
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("? |"));
    assert!(rows.count() >= 30);
}
