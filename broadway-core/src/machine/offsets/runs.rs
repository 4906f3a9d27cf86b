//! [`OffsetRuns`]: which number belongs to which offset, as a table of runs without a gap.
//!
//! Numbers are dense and offsets are not, so the table has one entry per gap. Runs only grow at their end and are
//! forgotten from the front, so a copy of one stays correct. The run of the last look-up is cached, and most look-ups
//! never read the table.

use std::collections::VecDeque;

#[derive(Debug, Clone)]
pub(super) struct OffsetRuns {
    /// Ascending in both fields.
    table: VecDeque<OffsetRun>,
    /// One above the last number.
    tail: u64,
    /// The result of the last search.
    near: CachedRun,
    /// Its index in `table`. The next search is likely to end near it.
    hint: usize,
}

/// Offsets without a gap, numbered from `number`, up to the next run's number or the tail.
#[derive(Debug, Clone, Copy)]
struct OffsetRun {
    number: u64,
    offset: i64,
}

/// A run, and its length when it was looked up.
#[derive(Debug, Clone, Copy)]
struct CachedRun {
    run: OffsetRun,
    length: u64,
}

impl OffsetRuns {
    pub(super) const fn new() -> Self {
        let nothing = OffsetRun {
            number: 0,
            offset: 0,
        };
        Self {
            table: VecDeque::new(),
            tail: 0,
            near: CachedRun {
                run: nothing,
                length: 0,
            },
            hint: 0,
        }
    }

    pub(super) const fn tail(&self) -> u64 {
        self.tail
    }

    /// Returns one above the last offset.
    pub(super) fn next_offset(&self) -> Option<i64> {
        self.table.back().map(|run| run.offset_of(self.tail))
    }

    /// Numbers `n` offsets from `first` on, which is at or above [`next_offset`](Self::next_offset).
    pub(super) fn append(&mut self, first: i64, n: u64) {
        if self.next_offset() != Some(first) {
            self.table.push_back(OffsetRun {
                number: self.tail,
                offset: first,
            });
        }
        self.tail += n;
    }

    #[inline]
    pub(super) fn number_of(&mut self, offset: i64) -> Option<u64> {
        match self.near.number_of(offset) {
            Some(number) => Some(number),
            None => self.search(offset),
        }
    }

    /// As [`number_of`](Self::number_of), with the count of numbers that follow in its run, itself included.
    pub(super) fn rest_of_run(&mut self, offset: i64) -> Option<(u64, u64)> {
        // The cached run may have grown since it was looked up.
        let number = self.search(offset)?;
        Some((number, self.near.run.number + self.near.length - number))
    }

    /// Returns the offset of a number that is in the table.
    pub(super) fn offset_of(&self, number: u64) -> i64 {
        let after = self.table.partition_point(|run| run.number <= number);
        self.table[after - 1].offset_of(number)
    }

    /// Returns how many numbers there are up to and including `offset`. Forgotten ones count.
    pub(super) fn numbers_through(&self, offset: i64) -> u64 {
        let after = self.table.partition_point(|run| run.offset <= offset);
        let Some(index) = after.checked_sub(1) else {
            return self.table.front().map_or(0, |first| first.number);
        };
        let (run, next) = (self.table[index], self.table.get(after));
        let end = next.map_or(self.tail, |next| next.number);
        let into = u64::try_from(offset - run.offset).unwrap_or(0);
        end.min(run.number.saturating_add(into).saturating_add(1))
    }

    /// Returns one above the offset of `head - 1`, whose run is the first after `forget_below(head)`.
    pub(super) fn offset_before(&self, head: u64) -> Option<i64> {
        let run = self.table.front().filter(|_| head > 0)?;
        Some(run.offset_of(head))
    }

    /// Returns whether `offset` is below everything that the table still holds.
    pub(super) fn is_forgotten(&self, offset: i64) -> bool {
        self.table.front().is_some_and(|run| offset < run.offset)
    }

    /// Forgets the runs that end below `head - 1`.
    #[inline]
    pub(super) fn forget_below(&mut self, head: u64) {
        while let Some(second) = self.table.get(1)
            && second.number < head
        {
            self.table.pop_front();
            self.hint = self.hint.saturating_sub(1);
        }
    }

    fn search(&mut self, offset: i64) -> Option<u64> {
        let index = self.index_of(offset)?;
        let stretch = self.stretch(index)?;
        let number = stretch.number_of(offset)?;
        self.hint = index;
        self.near = stretch;
        Some(number)
    }

    /// Returns the run that contains `offset`, or else the one before it.
    fn index_of(&self, offset: i64) -> Option<usize> {
        // Usually the same run, which has grown, or its neighbour: settlements arrive nearly in order.
        for index in [self.hint, self.hint + 1] {
            let stretch = self.stretch(index);
            if stretch.is_some_and(|stretch| stretch.number_of(offset).is_some()) {
                return Some(index);
            }
        }
        let after = self.table.partition_point(|run| run.offset <= offset);
        after.checked_sub(1)
    }

    fn stretch(&self, index: usize) -> Option<CachedRun> {
        let run = *self.table.get(index)?;
        let next = self.table.get(index + 1);
        let end = next.map_or(self.tail, |next| next.number);
        Some(CachedRun {
            run,
            length: end - run.number,
        })
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }
}

impl OffsetRun {
    /// Returns the offset of `number`, which lies in this run or one above its end.
    fn offset_of(&self, number: u64) -> i64 {
        self.offset
            + i64::try_from(number - self.number).expect("a run within the range of offsets")
    }
}

impl CachedRun {
    #[inline]
    const fn number_of(&self, offset: i64) -> Option<u64> {
        // Offsets below the run wrap to numbers above any length.
        let into = offset.wrapping_sub(self.run.offset).cast_unsigned();
        if into < self.length {
            Some(self.run.number + into)
        } else {
            None
        }
    }
}
