//! The expected result of every program that counts words.

use std::collections::HashMap;

/// Counts the words between ASCII whitespace.
pub(crate) fn count_naively(text: &[u8]) -> HashMap<Vec<u8>, u64> {
    let mut counts = HashMap::new();
    for word in text.split(u8::is_ascii_whitespace) {
        if !word.is_empty() {
            *counts.entry(word.to_vec()).or_insert(0) += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_between_any_whitespace_are_counted() {
        let counts = count_naively(b"  to be\tor\r\nnot to\n\nbe\xc3\xa9 ");
        let expected = [("to", 2), ("be", 1), ("or", 1), ("not", 1), ("be\u{e9}", 1)];
        let expected = expected.map(|(word, n)| (word.as_bytes().to_vec(), n));
        assert_eq!(counts, HashMap::from(expected));
    }

    #[test]
    fn a_text_without_words_counts_nothing() {
        assert!(count_naively(b" \n\n ").is_empty());
    }
}
