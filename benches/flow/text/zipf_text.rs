//! [`ZipfText`]: a text of any size whose words are as frequent as in a language.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
    process,
};

use super::{alias_table::AliasTable, vocabulary::Vocabulary};
use crate::random::Random;

/// Part of the name of cached files. A change of the text needs another one.
const EDITION: u32 = 1;

/// A line ends with the first word that reaches this column, so it has 74 to 88 bytes and the line end, and 80 on average.
const COLUMN: usize = 74;

/// How much is written at once.
const BLOCK: usize = 1 << 20;

/// Lines of words in lower case, with a space between them. The word of rank `r` has a share that is proportional to `1 / r`:
/// Zipf's law with the exponent 1.
///
/// With 100,000 distinct words a megabyte has about 135,000 words, and the most frequent one makes up 8 %.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ZipfText {
    /// The size: the text ends with the line that reaches it.
    pub(crate) bytes: usize,
    /// How many words there are to choose from.
    pub(crate) distinct: usize,
    /// Texts of equal parameters are equal.
    pub(crate) seed: u64,
}

impl ZipfText {
    /// The text.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.bytes + BLOCK);
        self.write(&mut text)
            .expect("invariant: writing to memory cannot fail");
        text
    }

    /// A file with the text, in the temporary directory. Written if a file for these parameters is not there yet.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub(crate) fn cached(self) -> io::Result<PathBuf> {
        let Self {
            bytes,
            distinct,
            seed,
        } = self;
        let folder = env::temp_dir();
        let name = format!("zipf-text-{EDITION}-{bytes}-{distinct}-{seed}");
        let path = folder.join(format!("{name}.txt"));
        if !path.exists() {
            // Renamed when it is complete, so that a killed or a concurrent run leaves no part of a text under the final name.
            let partial = folder.join(format!("{name}-{}.partial", process::id()));
            self.write(&mut File::create(&partial)?)?;
            fs::rename(&partial, &path)?;
        }
        Ok(path)
    }

    /// Writes the text.
    ///
    /// # Errors
    ///
    /// Fails if the output does.
    pub(crate) fn write(self, output: &mut impl Write) -> io::Result<()> {
        let mut lines = Lines::new(self.distinct, self.seed);
        let mut block = Vec::with_capacity(BLOCK + 2 * COLUMN);
        let mut written = 0;
        while written < self.bytes {
            block.clear();
            while block.len() < BLOCK && written + block.len() < self.bytes {
                lines.append_line(&mut block);
            }
            output.write_all(&block)?;
            written += block.len();
        }
        Ok(())
    }
}

/// The lines of a text.
struct Lines {
    vocabulary: Vocabulary,
    ranks: AliasTable,
    random: Random,
}

impl Lines {
    fn new(distinct: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let shares: Vec<f64> = (1..=distinct).map(|rank| 1.0 / rank as f64).collect();
        Self {
            vocabulary: Vocabulary::new(distinct, &mut random),
            ranks: AliasTable::new(&shares),
            random,
        }
    }

    fn append_line(&mut self, text: &mut Vec<u8>) {
        let last_column = text.len() + COLUMN;
        while text.len() <= last_column {
            let word = self.vocabulary.word(self.ranks.choose(&mut self.random));
            let end = text.len() + usize::from(word.length);
            text.extend_from_slice(&word.padded);
            text.truncate(end);
        }
        // Instead of the space after the last word.
        *text.last_mut().expect("invariant: a line has a word") = b'\n';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::count_naively;

    const SMALL: ZipfText = ZipfText {
        bytes: 4_000_000,
        distinct: 1_000,
        seed: 9,
    };

    #[test]
    fn equal_parameters_make_equal_texts() {
        let text = ZipfText {
            bytes: 100_000,
            ..SMALL
        };
        assert!(text.to_vec() == text.to_vec());
        assert!(text.to_vec() != ZipfText { seed: 10, ..text }.to_vec());
    }

    #[test]
    fn a_text_of_this_edition_begins_with_known_words() {
        let text = ZipfText {
            bytes: 1,
            distinct: 100_000,
            seed: 1,
        };
        let expected =
            "xtqavv mkuo mkuo bzpblcilxtsp jumw qnqyi wnuj ykplb ypglm vnzqxo qlcaqjvn yqgu\n";
        assert_eq!(str::from_utf8(&text.to_vec()), Ok(expected));
    }

    #[test]
    fn the_text_ends_with_the_line_that_reaches_the_size() {
        for bytes in [1, 100, 12_345, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let text = ZipfText { bytes, ..SMALL }.to_vec();
            assert!((bytes..bytes + 90).contains(&text.len()));
            assert_eq!(text.last(), Some(&b'\n'));
        }
        assert!(ZipfText { bytes: 0, ..SMALL }.to_vec().is_empty());
    }

    #[test]
    fn lines_have_about_80_bytes_and_single_spaces() {
        let text = String::from_utf8(SMALL.to_vec()).unwrap();
        let (mut lines, mut bytes) = (0, 0);
        for line in text.lines() {
            assert!((74..=88).contains(&line.len()), "{line}");
            assert!(line.split(' ').all(|word| (3..=14).contains(&word.len())));
            lines += 1;
            bytes += line.len() + 1;
        }
        assert_eq!(bytes, text.len());
        assert!((76..84).contains(&(bytes / lines)), "{}", bytes / lines);
    }

    #[test]
    fn the_share_of_a_word_is_inversely_proportional_to_its_rank() {
        let text = SMALL.to_vec();
        let mut counts: Vec<u64> = count_naively(&text).into_values().collect();
        counts.sort_unstable_by(|left, right| right.cmp(left));
        assert_eq!(counts.len(), 1_000);
        let words = counts.iter().sum::<u64>() as f64;
        let harmonic: f64 = (1..=1_000).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1, 2, 5, 10, 50, 200] {
            let expected = words / harmonic / rank as f64;
            let error = (counts[rank - 1] as f64 - expected).abs() / expected;
            assert!(error < 0.05, "rank {rank}: {error}");
        }
    }

    #[test]
    fn a_megabyte_has_135_000_words() {
        let text = ZipfText {
            bytes: 1_000_000,
            distinct: 100_000,
            seed: 1,
        };
        let words: u64 = count_naively(&text.to_vec()).values().sum();
        assert!((130_000..140_000).contains(&words), "{words}");
    }

    #[test]
    fn a_cached_file_is_written_once() {
        let text = ZipfText {
            bytes: 1_000,
            distinct: 50,
            seed: u64::from(process::id()),
        };
        let path = text.cached().unwrap();
        assert!(fs::read(&path).unwrap() == text.to_vec());
        fs::write(&path, "unchanged").unwrap();
        assert_eq!(text.cached().unwrap(), path);
        assert_eq!(fs::read(&path).unwrap(), b"unchanged");
        fs::remove_file(path).unwrap();
    }
}
