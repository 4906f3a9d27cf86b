//! How do I count words, with a progress bar?
//!
//! ```console
//! $ cargo run --release --features flow-progress --example flow_word_count
//! $ cargo run --release --features flow-progress --example flow_word_count -- book.txt letters.txt
//! ```
//!
//! Counts the words of the files, or of `examples/data/flow/text.txt`, and prints the ten most frequent. Then it prints the plan of the flow,
//! with the events and the time of each operator.

use std::env;

use broadway::{BoxError, flow::Lines};

const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flow/text.txt");

/// The words of a line, borrowed from it: letters, digits, and apostrophes within a word.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut paths: Vec<String> = env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push(TEXT.to_owned());
    }
    let report = Lines::files(paths)
        .name("words")
        .split(words)
        .named("words")
        .count()
        // `The` and `the` are one word. Each spelling comes once here, so few texts are copied.
        .map(|(word, n)| (word.to_lowercase(), n))
        .partition(|(word, _)| word.clone())
        .sum(|(_, n)| *n)
        // Words that are equally frequent are in the order of the alphabet.
        .take_sort(10, |(a, of_a), (b, of_b)| {
            of_b.cmp(of_a).then_with(|| a.cmp(b))
        })
        .progress_bar()
        .for_each(|top| {
            for (word, n) in top {
                println!("{word:>12} {n:>8}");
            }
        })
        .await?;
    println!("\n{report}");
    Ok(())
}
