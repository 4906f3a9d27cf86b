//! [`BitRing`]: a sliding set of sequence numbers, one bit each, in a ring of words.
//!
//! The ring covers the words from the lowest live number to the highest. The position of a number is
//! its value modulo the ring. Words leave at the bottom as zeros, so they are clean when they return at the top. The
//! caller keeps the bounds and never reads beyond them.

const BITS: u64 = u64::BITS as u64;

/// A sliding set of sequence numbers.
#[derive(Debug, Clone)]
pub struct BitRing {
    /// A power of two in number.
    words: Box<[u64]>,
}

impl Default for BitRing {
    fn default() -> Self {
        Self::new()
    }
}

impl BitRing {
    /// Creates an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            words: Box::new([0]),
        }
    }

    /// Makes room for the numbers `low..high`. Bits set in the range stay set.
    pub fn reserve(&mut self, low: u64, old_high: u64, high: u64) {
        if high == low {
            return;
        }
        let needed = words_between(low, high);
        if needed > self.words.len() {
            self.grow(low, old_high, needed);
        }
    }

    /// Returns whether the number is in the set.
    #[must_use]
    #[inline]
    pub fn contains(&self, number: u64) -> bool {
        self.words[self.place(number)] & bit(number) != 0
    }

    /// Adds a number.
    #[inline]
    pub fn insert(&mut self, number: u64) {
        let place = self.place(number);
        self.words[place] |= bit(number);
    }

    /// Sets the bit and returns whether it was clear before.
    #[inline]
    pub fn insert_new(&mut self, number: u64) -> bool {
        let place = self.place(number);
        let word = &mut self.words[place];
        let is_new = *word & bit(number) == 0;
        *word |= bit(number);
        is_new
    }

    /// Removes a number.
    pub fn remove(&mut self, number: u64) {
        let place = self.place(number);
        self.words[place] &= !bit(number);
    }

    /// Returns the lowest number of `first..end` in the set.
    #[must_use]
    pub fn first_in(&self, first: u64, end: u64) -> Option<u64> {
        pieces(first, end).find_map(|(start, mask)| {
            let found = self.words[self.place(start)] & mask;
            (found != 0).then(|| start - start % BITS + u64::from(found.trailing_zeros()))
        })
    }

    /// Returns the highest number of `first..end` in the set.
    #[must_use]
    pub fn last_in(&self, first: u64, end: u64) -> Option<u64> {
        pieces(first, end)
            .filter_map(|(start, mask)| {
                let found = self.words[self.place(start)] & mask;
                let top = BITS - 1 - u64::from(found.leading_zeros().min(63));
                (found != 0).then(|| start - start % BITS + top)
            })
            .last()
    }

    /// Returns how many numbers of `first..end` are in the set.
    #[must_use]
    pub fn count_in(&self, first: u64, end: u64) -> u64 {
        pieces(first, end)
            .map(|(start, mask)| u64::from((self.words[self.place(start)] & mask).count_ones()))
            .sum()
    }

    /// Sets all of `first..end`, whole words at a time.
    pub fn insert_range(&mut self, first: u64, end: u64) {
        for (start, mask) in pieces(first, end) {
            let place = self.place(start);
            self.words[place] |= mask;
        }
    }

    /// Returns the first number from `head` on that is not set, and clears the full words before it.
    #[inline]
    pub fn advance(&mut self, mut head: u64) -> u64 {
        loop {
            let place = self.place(head);
            let word = &mut self.words[place];
            let within = head % BITS;
            let run = u64::from((*word >> within).trailing_ones());
            head += run;
            if within + run < BITS {
                return head;
            }
            *word = 0;
        }
    }

    #[inline]
    fn place(&self, number: u64) -> usize {
        (number / BITS) as usize & (self.words.len() - 1)
    }

    #[cold]
    fn grow(&mut self, low: u64, old_high: u64, needed: usize) {
        let mut grown = Self {
            words: vec![0; needed.next_power_of_two()].into_boxed_slice(),
        };
        for (start, mask) in pieces(low - low % BITS, old_high) {
            let place = grown.place(start);
            grown.words[place] = self.words[self.place(start)] & mask;
        }
        *self = grown;
    }
}

#[inline]
const fn bit(number: u64) -> u64 {
    1 << (number % BITS)
}

fn words_between(low: u64, high: u64) -> usize {
    usize::try_from((high - 1) / BITS - low / BITS + 1).expect("a ring that fits into memory")
}

/// Iterates over the words that `first..end` touches: the first number in each, and its bits of the range.
#[inline]
fn pieces(first: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut start = first;
    std::iter::from_fn(move || {
        if start >= end {
            return None;
        }
        let stop = end.min((start / BITS + 1) * BITS);
        let ones = u64::MAX >> (BITS - (stop - start));
        let piece = (start, ones << (start % BITS));
        start = stop;
        Some(piece)
    })
}
