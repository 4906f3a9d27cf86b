//! Plain words: phrases that make a reader stop, each with the phrase to write instead.
//!
//! CONTRIBUTING's "Language" explains the rules; this file enforces them in documents, documentation comments, comments, texts and
//! names. Tests, and blocks that quote the output of a program, are not checked.

use regex_lite::Regex;

use crate::{
    none,
    source::{files, is_for_tests, lines},
};

/// A phrase to avoid.
struct Phrase {
    pattern: &'static str,
    /// A match of `pattern` that this matches too is fine.
    unless: Option<&'static str>,
    instead: &'static str,
}

const fn avoid(pattern: &'static str, instead: &'static str) -> Phrase {
    Phrase {
        pattern,
        unless: None,
        instead,
    }
}

const PHRASES: &[Phrase] = &[
    avoid(
        r"\b(nobody|somebody|whoever|[Nn]obody|[Ss]omebody|[Ww]hoever)\b",
        "name the subject: 'no consumer', 'another client', 'the caller'",
    ),
    avoid(r"(^|[.:;(—-] )Who [a-z]+", "name the subject"),
    Phrase {
        pattern: r"\b(for|to|of|by|from|than|and|or|tells?|is|knows|see|with|on|under|behind|until|where|as|but|that|asks?|if) who ((is|are) )?[a-z]+[^.?!|]*\??",
        unless: Some(r" who (is|are) \w+ing\b|\?$"),
        instead: "name the subject: 'callers that', 'the consumer that'",
    },
    Phrase {
        pattern: r"\b[Ww]hat (is|was|are|were|has|had|ended|failed|comes|came|goes|went|waits|users|can|cannot|can't|belongs|remains|remained|stands|stood|must|may|needs|nobody|it (is|was|has|had))\b[^.?!|]*\??",
        unless: Some(r"\?$"),
        instead: "use a noun: 'the message that failed', 'queued messages'",
    },
    avoid(
        r"\b(says?|said|saying|tells?|told|telling|hears?|heard|hearing)\b",
        "use 'returns', 'reports', 'logs', 'documents', 'receives', 'is notified'",
    ),
    Phrase {
        pattern: r"\b([Tt]here )?([Ii]s|[Aa]re|[Ww]as|[Ww]ere) no [A-Za-z]+",
        unless: Some(
            r"^[Tt]here | no (longer|larger|smaller|more|less|fewer|later|earlier|higher|lower)$",
        ),
        instead: "'is not a', 'does not exist'",
    },
    avoid(r"\b([Tt]hat|[Tt]hose) of\b", "repeat the noun"),
    avoid(r"\btroubles?\b", "'error', 'failure'"),
    avoid(r"\b[Ss]o (many|much)\b", "name the number"),
    avoid(r"\bin work\b", "'in flight', 'being handled'"),
    avoid(r"\bfor ever\b", "'forever', 'indefinitely'"),
    avoid(r"\b[Tt]ime-outs?\b", "'timeout'"),
    avoid(r"\bDefault: ", "'Defaults to X.'"),
    avoid(
        r"\b(he|him|his) (is|was|has|can|may|must|wakes|asks|takes|gets|does)\b",
        "'it', 'the caller'",
    ),
    avoid(
        r"\b[Bb]y itself\b|\bof (its|their|one's) own accord\b",
        "'automatically'",
    ),
];

/// At most this many places are left on purpose.
const EXCEPTIONS_MAX: usize = 50;

/// Places that are meant: the file, the part of the line that holds the phrase, and the reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

#[test]
fn texts_use_plain_words() {
    let checks = checks();
    let mut excused = vec![0; EXCEPTIONS.len()];
    let mut found = Vec::new();
    for (path, text) in checked_files() {
        for (number, line) in checked_lines(&path, &text) {
            for (phrase, instead) in phrases_in(line, &checks) {
                match exception(&path, line, phrase) {
                    Some(index) => excused[index] += 1,
                    None => found.push(format!("{path}:{number}: '{}': {instead}", shown(phrase))),
                }
            }
        }
    }
    none(
        found,
        "write a plain phrase instead, or list the place in EXCEPTIONS of tests/tidy/language.rs with the reason",
    );
    let unused = EXCEPTIONS.iter().zip(&excused).filter(|(_, n)| **n == 0);
    none(
        unused
            .map(|((path, part, _), _)| format!("{path}: '{part}'"))
            .collect(),
        "remove these exceptions, which excuse nothing any more",
    );
    let n: usize = excused.iter().sum();
    assert!(
        n <= EXCEPTIONS_MAX,
        "{n} places are excused, {EXCEPTIONS_MAX} at most"
    );
}

/// A pattern, the matches of it that are fine, and the advice.
type Check = (Regex, Option<Regex>, &'static str);

fn checks() -> Vec<Check> {
    let regex = |pattern| Regex::new(pattern).expect("the pattern is valid");
    let phrases = PHRASES.iter();
    phrases
        .map(|phrase| {
            (
                regex(phrase.pattern),
                phrase.unless.map(regex),
                phrase.instead,
            )
        })
        .collect()
}

/// The phrases to avoid in a line, each with the advice.
fn phrases_in<'a>(line: &'a str, checks: &[Check]) -> Vec<(&'a str, &'static str)> {
    let mut found = Vec::new();
    for (pattern, unless, instead) in checks {
        let matches = pattern.find_iter(line).map(|found| found.as_str());
        let fine = |phrase: &&str| {
            unless
                .as_ref()
                .is_some_and(|unless| unless.is_match(phrase))
        };
        found.extend(
            matches
                .filter(|phrase| !fine(phrase))
                .map(|phrase| (phrase, *instead)),
        );
    }
    found
}

/// The first words of a match.
fn shown(phrase: &str) -> String {
    let words: Vec<&str> = phrase.split_whitespace().take(4).collect();
    words.join(" ")
}

/// The exception that covers a phrase in this line, by its index.
fn exception(path: &str, line: &str, phrase: &str) -> Option<usize> {
    EXCEPTIONS.iter().position(|(file, part, _)| {
        *file == path && line.contains(part) && part.contains(phrase.trim())
    })
}

fn checked_files() -> impl Iterator<Item = (String, String)> {
    const PAGES: [&str; 5] = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "SECURITY.md",
    ];
    const FOLDERS: [&str; 7] = [
        "benches/",
        "broadway-core/src/",
        "broadway-flow/src/",
        "connectors/",
        "docs/",
        "examples/",
        "src/",
    ];
    let all = files("md").into_iter().chain(files("rs"));
    all.filter(|(path, _)| {
        let listed =
            PAGES.contains(&path.as_str()) || FOLDERS.iter().any(|folder| path.starts_with(folder));
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        listed && !is_test
    })
}

/// The lines to check, numbered from 1: no test code, and no blocks of plain text, which quote the output of a program.
fn checked_lines<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let tests = if path.ends_with(".rs") {
        test_lines(path, text)
    } else {
        Vec::new()
    };
    let mut quoted = None;
    let mut checked = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line
            .trim_start_matches(['/', '!', ' '])
            .strip_prefix("```")
            .map(str::trim);
        match (fence, quoted) {
            (Some(info), None) => quoted = Some(matches!(info, "" | "text" | "console")),
            (Some(_), Some(_)) => quoted = None,
            (None, _) => {}
        }
        let in_test = tests
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&number));
        if !in_test && quoted != Some(true) {
            checked.push((number, line));
        }
    }
    checked
}

/// First and last lines of the parts that are compiled for tests only.
fn test_lines(path: &str, text: &str) -> Vec<(usize, usize)> {
    let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let tests = syntax.items.iter().filter(|item| is_for_tests(item));
    tests.map(lines).collect()
}

/// A glossary that is too long to read is not used.
#[test]
fn the_glossary_is_short_and_defines_each_word_once() {
    const ENTRIES_MAX: usize = 64;
    let pages = files("md");
    let (_, page) = pages
        .iter()
        .find(|(path, _)| path == "CONTRIBUTING.md")
        .expect("the page exists");
    let (_, glossary) = page
        .split_once("### Glossary")
        .expect("the page has a glossary");
    let rows = glossary
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .filter(|word| *word != "word");
    let mut words: Vec<&str> = rows.collect();
    assert!(
        (40..=ENTRIES_MAX).contains(&words.len()),
        "{} entries",
        words.len()
    );
    words.sort_unstable();
    let twice = words.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
}

#[test]
fn phrases_are_found_where_they_should_be() {
    let checks = checks();
    let found = |line| phrases_in(line, &checks).len();
    for line in [
        "for who writes consumers",
        "a help for who is new",
        "what failed is sent again",
        "Nobody else may read the queue",
        "the task that says what is due",
        "it is no AMQP uri",
        "waits for ever",
    ] {
        assert!(found(line) > 0, "{line}");
    }
    for line in [
        "for teams that write consumers",
        "a help for who is writing a connector",
        "Returns what the handler returned",
        "there is no item, and the lease is no longer valid",
        "Which part holds it, and what is a key?",
        "is not a valid AMQP URI",
        "waits forever; the timeout is unlimited",
    ] {
        assert_eq!(found(line), 0, "{line}");
    }
}
