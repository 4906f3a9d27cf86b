//! The ledger of handled records, and the check for lost, repeated and reordered ones.

use std::collections::HashMap;

/// One handling of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: u32,
    pub(crate) number: u32,
}

impl Entry {
    /// Returns the line of the file.
    pub(crate) fn to_line(self) -> String {
        format!("{} {}\n", self.key, self.number)
    }

    /// Parses a line. Returns `None` for the incomplete last line of a killed process.
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let (key, number) = line.split_once(' ')?;
        Some(Self {
            key: key.parse().ok()?,
            number: number.parse().ok()?,
        })
    }
}

/// The result of checking a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) lost: usize,
    pub(crate) repeated: usize,
    /// Records that were first handled before an earlier record of their key.
    pub(crate) reordered: usize,
}

/// Checks the handlings of `keys` keys with `per_key` records each, in chronological order.
pub(crate) fn check(entries: &[Entry], keys: u32, per_key: u32) -> Verdict {
    let mut seen: HashMap<Entry, usize> = HashMap::new();
    let mut next: HashMap<u32, u32> = HashMap::new();
    let mut reordered = 0;
    for entry in entries {
        let count = seen.entry(*entry).or_default();
        *count += 1;
        if *count == 1 {
            let expected = next.entry(entry.key).or_default();
            if entry.number < *expected {
                reordered += 1;
            }
            *expected = (*expected).max(entry.number + 1);
        }
    }
    let all = usize::try_from(keys * per_key).unwrap();
    Verdict {
        lost: all - seen.len(),
        repeated: entries.len() - seen.len(),
        reordered,
    }
}

impl std::hash::Hash for Entry {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (u64::from(self.key) << 32 | u64::from(self.number)).hash(state);
    }
}

#[test]
fn lost_repeated_and_reordered_records_are_counted() {
    let entries = |numbers: &[u32]| {
        numbers
            .iter()
            .map(|number| Entry {
                key: 7,
                number: *number,
            })
            .collect::<Vec<_>>()
    };
    let verdict = |lost, repeated, reordered| Verdict {
        lost,
        repeated,
        reordered,
    };
    assert_eq!(check(&entries(&[0, 1, 2]), 1, 3), verdict(0, 0, 0));
    assert_eq!(check(&entries(&[0, 2]), 1, 3), verdict(1, 0, 0));
    assert_eq!(check(&entries(&[0, 1, 0, 1, 2]), 1, 3), verdict(0, 2, 0));
    assert_eq!(check(&entries(&[0, 2, 1]), 1, 3), verdict(0, 0, 1));
}
