//! [`Ids`]: which person and which auction an event refers to.
//!
//! A cycle of 50 events is one person, three auctions and 46 bids, in this order. So the number of an event determines its kind, and
//! how many persons and auctions there are by then.

use super::Nexmark;
use crate::random::Random;

/// The ids of the first person and of the first auction.
pub(crate) const FIRST_ID: u64 = 1_000;

const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
/// The events of a cycle.
pub(crate) const CYCLE: u64 = 50;

/// Every hundredth person and auction is hot, from its arrival to the arrival of the next hot one.
const HOT_EVERY: u64 = 100;

/// References may be this far ahead of the last person or auction: in a real system their events may arrive later than the events that
/// refer to them.
const LEAD: u64 = 10;

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Person,
    Auction,
    Bid,
}

/// The state of the auction house at one event.
#[derive(Clone, Copy)]
pub(crate) struct Ids {
    /// The place of the event in its cycle.
    place: u64,
    /// The persons up to this event. At least one.
    persons: u64,
    /// The auctions up to this event.
    auctions: u64,
}

impl Ids {
    /// The state at the event of this number, from 0.
    pub(crate) const fn at_event(number: u64) -> Self {
        let (cycle, place) = (number / CYCLE, number % CYCLE);
        let auctions_of_cycle = if place < AUCTIONS { place } else { AUCTIONS };
        Self {
            place,
            persons: cycle * PERSONS + PERSONS,
            auctions: cycle * AUCTIONS + auctions_of_cycle,
        }
    }

    /// The kind of the event.
    pub(crate) const fn kind(self) -> Kind {
        if self.place < PERSONS {
            Kind::Person
        } else if self.place < PERSONS + AUCTIONS {
            Kind::Auction
        } else {
            Kind::Bid
        }
    }

    /// The id of the last person: of this event, if it is one.
    pub(crate) const fn person(self) -> u64 {
        FIRST_ID + self.persons - 1
    }

    /// The id of the last auction: of this event, if it is one. There is an auction unless this is the first event.
    pub(crate) const fn auction(self) -> u64 {
        FIRST_ID + self.auctions - 1
    }

    /// The seller of an auction.
    pub(crate) const fn seller(self, options: &Nexmark, random: &mut Random) -> u64 {
        if random.once_in(options.hot_sellers) {
            self.active_person(options, random)
        } else {
            hot(self.person())
        }
    }

    /// The bidder of a bid. The hot bidder is the person after the hot seller.
    pub(crate) const fn bidder(self, options: &Nexmark, random: &mut Random) -> u64 {
        if random.once_in(options.hot_bidders) {
            self.active_person(options, random)
        } else {
            hot(self.person()) + 1
        }
    }

    /// The auction of a bid.
    pub(crate) const fn item(self, options: &Nexmark, random: &mut Random) -> u64 {
        if random.once_in(options.hot_auctions) {
            one_of_the_last(options.open_auctions, self.auctions, random)
        } else {
            hot(self.auction())
        }
    }

    const fn active_person(self, options: &Nexmark, random: &mut Random) -> u64 {
        one_of_the_last(options.active_persons, self.persons, random)
    }
}

/// The id of one of the last `n` of all, or of one that is ahead.
const fn one_of_the_last(n: u64, all: u64, random: &mut Random) -> u64 {
    let n = if n < all { n } else { all };
    FIRST_ID + (all - n) + random.below(n + LEAD)
}

/// The last hot id.
const fn hot(last: u64) -> u64 {
    last / HOT_EVERY * HOT_EVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_has_a_person_three_auctions_and_46_bids() {
        let kinds: Vec<Kind> = (50..100).map(|n| Ids::at_event(n).kind()).collect();
        assert_eq!(kinds[0], Kind::Person);
        assert_eq!(kinds[1..4], [Kind::Auction; 3]);
        assert_eq!(kinds[4..], [Kind::Bid; 46]);
    }

    #[test]
    fn ids_have_no_gaps() {
        let (mut persons, mut auctions) = (FIRST_ID, FIRST_ID);
        for number in 0..1_000 {
            let ids = Ids::at_event(number);
            match ids.kind() {
                Kind::Person => {
                    assert_eq!(ids.person(), persons);
                    persons += 1;
                }
                Kind::Auction => {
                    assert_eq!(ids.auction(), auctions);
                    auctions += 1;
                }
                Kind::Bid => {
                    assert_eq!((ids.person(), ids.auction()), (persons - 1, auctions - 1));
                }
            }
        }
        assert_eq!((persons, auctions), (FIRST_ID + 20, FIRST_ID + 60));
    }

    #[test]
    fn references_are_to_the_last_ones_or_a_few_ahead() {
        let mut random = Random::new(1);
        let options = Nexmark {
            hot_auctions: 1,
            hot_bidders: 1,
            open_auctions: 20,
            active_persons: 30,
            ..Nexmark::default()
        };
        let ids = Ids::at_event(CYCLE * 1_000 + 10);
        for _ in 0..10_000 {
            let item = ids.item(&options, &mut random);
            assert!((ids.auction() - 19..=ids.auction() + LEAD).contains(&item));
            let bidder = ids.bidder(&options, &mut random);
            assert!((ids.person() - 29..=ids.person() + LEAD).contains(&bidder));
        }
    }
}
