//! [`Vocabulary`]: distinct words, the frequent ones short, as in a language.

use std::collections::HashSet;

use crate::random::Random;

/// Letters of the shortest word.
pub(crate) const SHORTEST: usize = 3;
/// Letters of the longest word.
pub(crate) const LONGEST: usize = 14;

/// By how many letters the rarest words are longer than the most frequent one, on average.
/// With this value a text of Zipf's law has 6.4 letters a word.
const GROWTH: f64 = 6.8;
/// By how many letters words of similar frequency differ from their average, at most.
const SPREAD: f64 = 2.5;

/// A word with the space after it, in a field of constant length, so that a copy is one load and one store.
#[derive(Clone, Copy)]
pub(crate) struct Word {
    /// The word, and spaces up to the end.
    pub(crate) padded: [u8; 16],
    /// The bytes of the word and one space.
    pub(crate) length: u8,
}

/// Words in lower case, the most frequent first.
pub(crate) struct Vocabulary {
    words: Vec<Word>,
}

impl Vocabulary {
    /// Makes up this number of words.
    pub(crate) fn new(distinct: usize, random: &mut Random) -> Self {
        let mut known = HashSet::with_capacity(distinct);
        let most = (distinct.max(2) as f64).ln();
        let words = (1..=distinct).map(|rank| {
            let share = (rank as f64).ln() / most;
            loop {
                let word = make_up(share, random);
                if known.insert(word.padded) {
                    return word;
                }
            }
        });
        Self {
            words: words.collect(),
        }
    }

    /// The word of this rank, from 0.
    pub(crate) fn word(&self, rank: usize) -> Word {
        self.words[rank]
    }
}

/// A word whose length depends on the logarithm of its rank, as a share of the rarest word's.
fn make_up(share: f64, random: &mut Random) -> Word {
    let jitter = (random.fraction() * 2.0 - 1.0) * SPREAD;
    let letters = SHORTEST as f64 + GROWTH * share + jitter;
    let letters = (letters.round() as usize).clamp(SHORTEST, LONGEST);
    let mut padded = [b' '; 16];
    padded[..letters].fill_with(|| b'a' + random.below(26) as u8);
    Word {
        padded,
        length: letters as u8 + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_and_have_3_to_14_letters() {
        let vocabulary = Vocabulary::new(20_000, &mut Random::new(5));
        let mut seen = HashSet::new();
        for rank in 0..20_000 {
            let word = vocabulary.word(rank);
            let letters = usize::from(word.length) - 1;
            assert!((SHORTEST..=LONGEST).contains(&letters));
            assert!(word.padded[..letters].iter().all(u8::is_ascii_lowercase));
            assert!(word.padded[letters..].iter().all(|&byte| byte == b' '));
            assert!(seen.insert(word.padded));
        }
    }

    #[test]
    fn a_word_that_is_made_up_twice_is_in_the_vocabulary_once() {
        // With this seed it happens.
        let vocabulary = Vocabulary::new(2_000, &mut Random::new(380));
        let distinct: HashSet<_> = vocabulary.words.iter().map(|word| word.padded).collect();
        assert_eq!(distinct.len(), 2_000);
    }

    #[test]
    fn rare_words_are_longer_than_frequent_ones() {
        let vocabulary = Vocabulary::new(20_000, &mut Random::new(6));
        let mean = |ranks: std::ops::Range<usize>| {
            let n = ranks.len();
            let letters = ranks.map(|rank| usize::from(vocabulary.word(rank).length) - 1);
            letters.sum::<usize>() / n
        };
        assert!(mean(0..10) < 6);
        assert!(mean(10_000..20_000) > 8);
    }
}
