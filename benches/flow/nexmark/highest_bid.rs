//! Query 7, the highest bid: which bid had the highest price?

use std::collections::BTreeMap;

use super::Bid;

/// A bid with the highest price of a window, alone or with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HighestBid {
    /// The first millisecond of the window.
    pub(crate) window_start: i64,
    /// The price of the bid.
    pub(crate) price: u64,
    /// The id of the auction.
    pub(crate) auction: u64,
    /// The id of the bidder.
    pub(crate) bidder: u64,
}

/// The highest bids of each window with bids, sorted: one for each bid, even if they are equal. Windows of `size` milliseconds follow
/// one another, and one begins at 0.
pub(crate) fn highest_bids<'a>(
    bids: impl IntoIterator<Item = &'a Bid>,
    size: i64,
) -> Vec<HighestBid> {
    let mut windows: BTreeMap<i64, Vec<&Bid>> = BTreeMap::new();
    for bid in bids {
        let window_start = bid.at.div_euclid(size) * size;
        windows.entry(window_start).or_default().push(bid);
    }
    let mut highest = Vec::new();
    for (window_start, bids) in windows {
        let most = bids.iter().map(|bid| bid.price).max();
        for bid in bids.iter().filter(|bid| Some(bid.price) == most) {
            highest.push(HighestBid {
                window_start,
                price: bid.price,
                auction: bid.auction,
                bidder: bid.bidder,
            });
        }
    }
    highest.sort();
    highest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(at: i64, price: u64, auction: u64) -> Bid {
        Bid {
            auction,
            bidder: auction + 100,
            price,
            at,
        }
    }

    fn highest(window_start: i64, price: u64, auction: u64) -> HighestBid {
        HighestBid {
            window_start,
            price,
            auction,
            bidder: auction + 100,
        }
    }

    #[test]
    fn all_bids_of_the_highest_price_are_returned_in_order() {
        let bids = [
            bid(10, 5, 1),
            bid(9, 80, 4),
            bid(0, 80, 3),
            bid(5, 79, 2),
            bid(19, 6, 1),
            bid(-1, 1, 9),
        ];
        let expected = [
            highest(-10, 1, 9),
            highest(0, 80, 3),
            highest(0, 80, 4),
            highest(10, 6, 1),
        ];
        assert_eq!(highest_bids(&bids, 10), expected);
    }

    #[test]
    fn equal_bids_are_returned_one_by_one() {
        let bids = [bid(1, 5, 1), bid(2, 5, 1)];
        assert_eq!(highest_bids(&bids, 10), [highest(0, 5, 1); 2]);
    }
}
