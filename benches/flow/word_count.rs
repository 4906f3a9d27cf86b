//! Counts the words of a file, and compares with a program by hand on two threads.

use std::{collections::HashMap, path::PathBuf};

use broadway::flow::Lines;
use tokio::runtime::Runtime;

use crate::{
    cost::{Cost, in_turn, timed},
    report::Line,
    support::BoxError,
    text::{ZipfText, count_naively},
    word_count_by_hand,
};

/// Workers of each segment, and threads of the program by hand.
const WORKERS: usize = 2;

/// The throughput to reach, as a share of the program by hand.
const GOAL: f64 = 0.6;

/// A text, and what the count of its words must be.
struct Input {
    path: PathBuf,
    bytes: u64,
    expected: HashMap<Vec<u8>, u64>,
}

impl Input {
    fn new(bytes: u64) -> Result<Self, BoxError> {
        let text = ZipfText {
            bytes: usize::try_from(bytes)?,
            distinct: 100_000,
            seed: 1,
        };
        let path = text.cached()?;
        let text = std::fs::read(&path)?;
        Ok(Self {
            path,
            bytes: text.len() as u64,
            expected: count_naively(&text),
        })
    }

    fn words(&self) -> u64 {
        self.expected.values().sum()
    }

    /// Fails loudly if a count is wrong.
    fn check(&self, counts: &[(impl AsRef<str>, u64)]) -> Result<(), BoxError> {
        let is_right = |(word, n): &(_, u64)| {
            let word: &str = AsRef::as_ref(word);
            self.expected.get(word.as_bytes()) == Some(n)
        };
        if counts.len() == self.expected.len() && counts.iter().all(is_right) {
            return Ok(());
        }
        Err(format!(
            "word_count: wrong counts, of {} words instead of {}",
            counts.len(),
            self.expected.len()
        )
        .into())
    }

    fn ours(&self, runtime: &Runtime) -> Result<Cost, BoxError> {
        let (counts, cost) = timed(|| {
            let words = Lines::files([&self.path])
                .workers(WORKERS)
                .split(str::split_ascii_whitespace);
            let counts = words.count().workers(WORKERS);
            Ok(runtime.block_on(counts.collect())?)
        })?;
        self.check(&counts)?;
        Ok(cost)
    }

    fn by_hand(&self) -> Result<Cost, BoxError> {
        let (counts, cost) = timed(|| Ok(word_count_by_hand::count(&self.path, WORKERS)?))?;
        let counts: Vec<(Box<str>, u64)> = counts.into_iter().collect();
        self.check(&counts)?;
        Ok(cost)
    }
}

/// Compares both programs.
pub(crate) fn measure(bytes: u64, rounds: usize, runtime: &Runtime) -> Result<Line, BoxError> {
    let input = Input::new(bytes)?;
    let rounds = in_turn(rounds, &|| input.ours(runtime), Some(&|| input.by_hand()))?;
    let line = Line::new("word_count", (input.words(), "words"), &rounds);
    Ok(line
        .bytes(input.bytes)
        .reference("two_threads", &rounds, Some(GOAL)))
}
