//! The guide to connectors shows code that runs: each of its blocks stands in the example, line by line.

use std::{fs, path::Path};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

#[test]
fn every_block_of_the_guide_to_connectors_stands_in_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = fs::read_to_string(root.join("docs/writing-a-connector.md")).unwrap();
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
                let path = root.join("examples/own_connector").join(&file);
                let code = fs::read_to_string(path).unwrap();
                let (code, shown) = (lines(&code), lines(&block));
                let stands = code.windows(shown.len()).any(|window| window == shown);
                assert!(stands, "{file} has no such lines any more:\n{block}");
                n += 1;
            }
            _ => {}
        }
    }
    assert!(n >= 10, "only {n} blocks of the guide name a file");
}
