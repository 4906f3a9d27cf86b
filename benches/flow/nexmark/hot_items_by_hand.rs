//! [`HotItemsByHand`]: the reference for query 5, on one thread and without a framework.

use std::collections::VecDeque;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{Bid, HotItem};

/// Bids by auction.
type Tally = HashMap<u64, u64, RandomState>;

/// Counts bids in panes of one slide. A window is the sum of its panes, kept up to date: a pane is added when it is complete, and
/// subtracted when it leaves the window.
pub(crate) struct HotItemsByHand {
    slide: i64,
    disorder: i64,
    panes_per_window: usize,
    /// First the complete panes of the last window, then the panes to come.
    panes: VecDeque<Tally>,
    complete: usize,
    /// The number of the first pane. The pane of number 0 begins at 0.
    first: i64,
    latest: i64,
    /// The sum of the complete panes.
    window: Tally,
    /// Empty, with the memory of panes that have left.
    spare: Vec<Tally>,
    hot: Vec<HotItem>,
    late: u64,
}

impl HotItemsByHand {
    /// Windows of `size` milliseconds that begin at the multiples of `slide`; `size` is a multiple of `slide`. A pane is complete when
    /// a bid has come that is later by `disorder`.
    pub(crate) fn new(size: i64, slide: i64, disorder: i64) -> Self {
        assert!(slide > 0 && size > 0 && size % slide == 0 && disorder >= 0);
        Self {
            slide,
            disorder,
            panes_per_window: (size / slide) as usize,
            panes: VecDeque::new(),
            complete: 0,
            first: 0,
            latest: i64::MIN,
            window: Tally::default(),
            spare: Vec::new(),
            hot: Vec::new(),
            late: 0,
        }
    }

    /// Counts a bid, unless its pane is complete.
    pub(crate) fn add(&mut self, bid: &Bid) {
        if self.latest == i64::MIN {
            // No bid comes that is earlier.
            self.first = (bid.at - self.disorder).div_euclid(self.slide);
        }
        let place = bid.at.div_euclid(self.slide) - self.first;
        match usize::try_from(place) {
            Ok(place) if place >= self.complete => {
                while self.panes.len() <= place {
                    self.add_pane();
                }
                *self.panes[place].entry(bid.auction).or_insert(0) += 1;
            }
            Ok(_) | Err(_) => self.late += 1,
        }
        if bid.at > self.latest {
            self.latest = bid.at;
            while self.end_of_next() <= self.latest - self.disorder {
                self.complete_pane();
            }
        }
    }

    /// The bids that came after their pane was complete.
    pub(crate) const fn late(&self) -> u64 {
        self.late
    }

    /// Completes all panes, and returns the hot items of all windows, sorted.
    pub(crate) fn finish(mut self) -> Vec<HotItem> {
        while self.complete < self.panes.len() {
            self.complete_pane();
        }
        while !self.window.is_empty() {
            self.complete_pane();
        }
        self.hot
    }

    fn add_pane(&mut self) {
        self.panes.push_back(self.spare.pop().unwrap_or_default());
    }

    /// The first millisecond after the next pane to complete.
    const fn end_of_next(&self) -> i64 {
        (self.first + self.complete as i64 + 1) * self.slide
    }

    /// Completes a pane, and with it the window that ends with it.
    fn complete_pane(&mut self) {
        let end = self.end_of_next();
        if self.complete == self.panes.len() {
            self.add_pane();
        }
        for (&auction, bids) in &self.panes[self.complete] {
            *self.window.entry(auction).or_insert(0) += bids;
        }
        self.complete += 1;
        self.emit(end - self.slide * self.panes_per_window as i64);
        if self.complete == self.panes_per_window {
            self.remove_pane();
        }
    }

    /// Subtracts the first pane of the window.
    fn remove_pane(&mut self) {
        let mut oldest = self
            .panes
            .pop_front()
            .expect("invariant: a whole window is there");
        self.complete -= 1;
        self.first += 1;
        for (auction, bids) in oldest.drain() {
            let hashbrown::hash_map::Entry::Occupied(mut total) = self.window.entry(auction) else {
                unreachable!("the window is the sum of its panes");
            };
            *total.get_mut() -= bids;
            if *total.get() == 0 {
                total.remove();
            }
        }
        self.spare.push(oldest);
    }

    /// Appends the auctions with the most bids in the window.
    fn emit(&mut self, window_start: i64) {
        let (begin, mut most) = (self.hot.len(), 0);
        for (&auction, &bids) in &self.window {
            if bids > most {
                most = bids;
                self.hot.truncate(begin);
            }
            if bids == most {
                self.hot.push(HotItem {
                    window_start,
                    auction,
                    bids,
                });
            }
        }
        self.hot[begin..].sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        nexmark::{Nexmark, hot_items},
        random::Random,
    };

    fn by_hand(bids: &[Bid], size: i64, slide: i64, disorder: i64) -> (Vec<HotItem>, u64) {
        let mut program = HotItemsByHand::new(size, slide, disorder);
        for bid in bids {
            program.add(bid);
        }
        let late = program.late();
        (program.finish(), late)
    }

    fn bid(at: i64, auction: u64) -> Bid {
        Bid {
            auction,
            bidder: 1,
            price: 1,
            at,
        }
    }

    #[test]
    fn the_results_equal_the_naive_ones() {
        for (disorder, seed) in [(0, 1), (1, 2), (700, 3), (15_000, 4)] {
            let options = Nexmark {
                events: 40_000,
                seed,
                start: -12_345,
                events_per_second: 1_000,
                disorder,
                ..Nexmark::default()
            };
            let bids: Vec<Bid> = options
                .stream()
                .filter_map(|event| event.as_bid().copied())
                .collect();
            for (size, slide) in [(10_000, 1_000), (10_000, 10_000), (2_000, 500)] {
                let (hot, late) = by_hand(&bids, size, slide, disorder as i64);
                assert_eq!(late, 0);
                assert!(
                    hot == hot_items(&bids, size, slide),
                    "{size} {slide} {disorder}"
                );
            }
        }
    }

    #[test]
    fn small_streams_with_gaps_and_ties_have_the_naive_results() {
        let mut random = Random::new(11);
        for _ in 0..2_000 {
            let disorder = random.below(30) as i64;
            let (mut latest, mut bids) = (-50, Vec::new());
            for _ in 0..random.below(30) {
                if random.once_in(3) {
                    latest += random.below(60) as i64;
                }
                let at = latest - random.below(disorder as u64 + 1) as i64;
                bids.push(bid(at, random.below(4)));
            }
            if let Some(first) = bids.first_mut() {
                first.at = -50;
            }
            let slide = 1 + random.below(12) as i64;
            let size = slide * (1 + random.below(5) as i64);
            let (hot, late) = by_hand(&bids, size, slide, disorder);
            assert_eq!(late, 0);
            assert_eq!(hot, hot_items(&bids, size, slide), "{bids:?}");
        }
    }

    #[test]
    fn a_bid_later_than_the_disorder_is_not_counted() {
        let bids = [bid(5, 1), bid(25, 2), bid(9, 3), bid(14, 3)];
        let (hot, late) = by_hand(&bids, 10, 10, 15);
        assert_eq!(late, 1);
        let expected = [(0, 1, 1), (10, 3, 1), (20, 2, 1)];
        let expected = expected.map(|(window_start, auction, bids)| HotItem {
            window_start,
            auction,
            bids,
        });
        assert_eq!(hot, expected);
    }
}
