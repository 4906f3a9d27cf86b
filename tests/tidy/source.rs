//! Reads the project's files, and its Rust files as tokens, so that comments, documentation and strings do not count as code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, spanned::Spanned};

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the root of the project, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
}

/// All Rust files whose path begins with `folder`; `""` selects all.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    files("rs")
        .into_iter()
        .filter(|(path, _)| path.starts_with(folder))
        .map(|(path, text)| match syn::parse_file(&text) {
            Ok(syntax) => Source { path, text, syntax },
            Err(error) => panic!("{path}:{}: {error}", error.span().start().line),
        })
        .collect()
}

/// Path and text of all files with this extension, sorted by path.
pub(crate) fn files(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(root(), extension, &mut found);
    found.sort();
    assert!(
        !found.is_empty(),
        "no file named *.{extension} below {}",
        root().display()
    );
    found
}

pub(crate) fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests are a folder of the project")
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).expect("a folder of the project can be read");
    for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("names are UTF-8");
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|of_file| of_file == extension) {
            let text = fs::read_to_string(&path).expect("a text file can be read");
            found.push((from_root(&path), text));
        }
    }
}

fn from_root(path: &Path) -> String {
    let path: PathBuf = path
        .strip_prefix(root())
        .expect("it was found below the root")
        .into();
    path.to_str().expect("names are UTF-8").replace('\\', "/")
}

impl Source {
    /// A complaint for each match. A pattern is tokens separated by blanks, such as `tokio :: spawn`.
    pub(crate) fn find(&self, patterns: &[&str]) -> Vec<String> {
        self.find_in(self.syntax.to_token_stream(), patterns)
    }

    /// Like [`find`](Self::find), without items that are compiled for tests only.
    pub(crate) fn find_in_code(&self, patterns: &[&str]) -> Vec<String> {
        let code = self.syntax.items.iter().filter(|item| !is_for_tests(item));
        self.find_in(code.map(ToTokens::to_token_stream).collect(), patterns)
    }

    fn find_in(&self, tokens: TokenStream, patterns: &[&str]) -> Vec<String> {
        let mut flat = Vec::new();
        flatten(tokens, &mut flat);
        let mut found = Vec::new();
        for pattern in patterns {
            let wanted: Vec<&str> = pattern.split(' ').collect();
            let matches = flat.windows(wanted.len()).filter(|window| {
                window
                    .iter()
                    .map(|(token, _)| token.as_str())
                    .eq(wanted.iter().copied())
            });
            found.extend(matches.map(|window| {
                let line = window[0].1;
                format!("{}:{line}: {}", self.path, wanted.concat())
            }));
        }
        found
    }

    /// Whether the whole file is test code.
    pub(crate) fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("tests/")
    }
}

/// Tokens in order, with their lines. Punctuation is split into single characters, except `::`.
fn flatten(tokens: TokenStream, flat: &mut Vec<(String, usize)>) {
    for token in tokens {
        let line = token.span().start().line;
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                flat.push((open.to_owned(), line));
                flatten(group.stream(), flat);
                flat.push((close.to_owned(), line));
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => match flat.last_mut() {
                Some((last, _)) if last == ":" => last.push(':'),
                _ => flat.push((":".to_owned(), line)),
            },
            TokenTree::Literal(_) => flat.push((String::new(), line)),
            other => flat.push((other.to_string(), line)),
        }
    }
}

pub(crate) fn is_for_tests(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => &[],
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    })
}

/// First and last line of a syntax node.
pub(crate) fn lines(of: &impl Spanned) -> (usize, usize) {
    (of.span().start().line, of.span().end().line)
}
