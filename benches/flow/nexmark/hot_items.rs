//! Query 5, hot items: which auctions had the most bids?

use std::collections::BTreeMap;

use super::Bid;

/// An auction with the most bids of a window, alone or with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HotItem {
    /// The first millisecond of the window.
    pub(crate) window_start: i64,
    /// The id of the auction.
    pub(crate) auction: u64,
    /// Its bids in the window.
    pub(crate) bids: u64,
}

/// The hot items of each window with bids, sorted. Windows of `size` milliseconds begin at the multiples of `slide`, negative ones
/// included.
pub(crate) fn hot_items<'a>(
    bids: impl IntoIterator<Item = &'a Bid>,
    size: i64,
    slide: i64,
) -> Vec<HotItem> {
    let mut windows: BTreeMap<i64, BTreeMap<u64, u64>> = BTreeMap::new();
    for bid in bids {
        for window_start in windows_with(bid.at, size, slide) {
            let auctions = windows.entry(window_start).or_default();
            *auctions.entry(bid.auction).or_insert(0) += 1;
        }
    }
    let mut hot = Vec::new();
    for (window_start, auctions) in windows {
        let most = auctions.values().copied().max();
        for (auction, bids) in auctions {
            if Some(bids) == most {
                hot.push(HotItem {
                    window_start,
                    auction,
                    bids,
                });
            }
        }
    }
    hot
}

/// The starts of the windows with this time, the last one first.
fn windows_with(at: i64, size: i64, slide: i64) -> impl Iterator<Item = i64> {
    let last = at.div_euclid(slide) * slide;
    let starts = std::iter::successors(Some(last), move |start| Some(start - slide));
    starts.take_while(move |start| start + size > at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(at: i64, auction: u64) -> Bid {
        Bid {
            auction,
            bidder: 1,
            price: 1,
            at,
        }
    }

    fn item(window_start: i64, auction: u64, bids: u64) -> HotItem {
        HotItem {
            window_start,
            auction,
            bids,
        }
    }

    #[test]
    fn a_time_is_in_all_windows_that_have_begun_and_not_ended() {
        let starts = |at| windows_with(at, 30, 10).collect::<Vec<_>>();
        assert_eq!(starts(45), [40, 30, 20]);
        assert_eq!(starts(40), [40, 30, 20]);
        assert_eq!(starts(39), [30, 20, 10]);
        assert_eq!(starts(5), [0, -10, -20]);
        assert_eq!(starts(-1), [-10, -20, -30]);
    }

    #[test]
    fn the_auctions_with_the_most_bids_win_all_of_them() {
        let bids = [bid(1, 7), bid(12, 8), bid(15, 8), bid(19, 7), bid(25, 9)];
        let expected = [
            item(-10, 7, 1),
            item(0, 7, 2),
            item(0, 8, 2),
            item(10, 8, 2),
            item(20, 9, 1),
        ];
        assert_eq!(hot_items(&bids, 20, 10), expected);
    }

    #[test]
    fn without_bids_nothing_is_hot() {
        assert!(hot_items(&[], 20, 10).is_empty());
    }
}
