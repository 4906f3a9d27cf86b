//! How often things happened.

use std::ops::AddAssign;

/// How often things happened, to show that a run tests what it says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) ids: u64,
    pub(crate) deliveries: u64,
    pub(crate) kills: u64,
    pub(crate) drains: u64,
    /// Deliveries that a topology left unsettled.
    pub(crate) came_back: u64,
    /// How often the dead-letter broker was cut off.
    pub(crate) cuts: u64,
    pub(crate) failures: [u64; 2],
    pub(crate) postponed: u64,
    /// Messages that failed with others of their batch.
    pub(crate) condemned: u64,
    pub(crate) written: u64,
    pub(crate) letters: u64,
    pub(crate) unconfirmed: u64,
    pub(crate) refused: u64,
    pub(crate) released: u64,
    pub(crate) failed: u64,
}

impl Figures {
    fn counts(&mut self) -> [&mut u64; 16] {
        let [of_message, of_batch] = &mut self.failures;
        [
            &mut self.ids,
            &mut self.deliveries,
            &mut self.kills,
            &mut self.drains,
            &mut self.came_back,
            &mut self.cuts,
            of_message,
            of_batch,
            &mut self.postponed,
            &mut self.condemned,
            &mut self.written,
            &mut self.letters,
            &mut self.unconfirmed,
            &mut self.refused,
            &mut self.released,
            &mut self.failed,
        ]
    }

    pub(crate) fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, count) in self.counts().into_iter().zip(other.counts()) {
            sum.add_assign(*count);
        }
    }

    pub(crate) fn assert_much_happened(mut self) {
        assert!(self.ids >= 100_000, "{} ids", self.ids);
        let seen = self;
        let all_often = self.counts().into_iter().all(|count| *count >= 50);
        assert!(all_often, "too little happened: {seen:?}");
    }
}
