//! [`Nexmark`]: the stream of events, and its parameters.

use super::{
    Auction, Bid, Event, Person,
    disorder::Disorder,
    ids::{CYCLE, Ids, Kind},
    names,
};
use crate::random::Random;

const AUCTIONS_PER_CYCLE: u64 = 3;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;

/// The parameters of a stream. Equal parameters make equal streams.
#[derive(Clone, Debug)]
pub(crate) struct Nexmark {
    /// How many events there are: of 50, one is a person, three are auctions and 46 are bids.
    pub(crate) events: u64,
    /// Of the pseudo-random numbers.
    pub(crate) seed: u64,
    /// The time of the first event.
    pub(crate) start: i64,
    /// How many events have the times of one second. Their times are evenly spread.
    pub(crate) events_per_second: u64,
    /// In milliseconds. An event comes after events that are less than this time later. 0 keeps the order of their times.
    pub(crate) disorder: u64,
    /// One of this number of bids is for any open auction, the others for the hot one. 1: all are for any.
    pub(crate) hot_auctions: u64,
    /// One of this number of bids is by any active person, the others by the hot one.
    pub(crate) hot_bidders: u64,
    /// One of this number of auctions is by any active person, the others by the hot one.
    pub(crate) hot_sellers: u64,
    /// Bids are for the last auctions: for this number of them.
    pub(crate) open_auctions: u64,
    /// Sellers and bidders are the last persons: this number of them.
    pub(crate) active_persons: u64,
}

impl Default for Nexmark {
    /// The proportions of Beam's suite, at 10,000 events per second.
    fn default() -> Self {
        Self {
            events: 1_000_000,
            seed: 1,
            start: 0,
            events_per_second: 10_000,
            disorder: 0,
            hot_auctions: 2,
            hot_bidders: 4,
            hot_sellers: 4,
            open_auctions: 100,
            active_persons: 1_000,
        }
    }
}

impl Nexmark {
    /// The events, in the order of their arrival.
    pub(crate) fn stream(&self) -> impl Iterator<Item = Event> + use<> {
        Disorder::new(Ordered::new(self.clone()), self.disorder, self.seed)
    }
}

/// The events in the order of their times.
struct Ordered {
    options: Nexmark,
    number: u64,
    random: Random,
}

impl Ordered {
    fn new(options: Nexmark) -> Self {
        Self {
            number: 0,
            random: Random::new(options.seed),
            options,
        }
    }

    fn event(&mut self, ids: Ids, at: i64) -> Event {
        match ids.kind() {
            Kind::Person => Event::Person(self.person(ids, at)),
            Kind::Auction => Event::Auction(self.auction(ids, at)),
            Kind::Bid => Event::Bid(Bid {
                auction: ids.item(&self.options, &mut self.random),
                bidder: ids.bidder(&self.options, &mut self.random),
                price: self.price(),
                at,
            }),
        }
    }

    fn person(&mut self, ids: Ids, at: i64) -> Person {
        let first = self.random.one_of(&names::FIRST);
        let last = self.random.one_of(&names::LAST);
        let (city, state) = *self.random.one_of(&names::CITIES);
        Person {
            id: ids.person(),
            name: format!("{first} {last}"),
            city,
            state,
            at,
        }
    }

    fn auction(&mut self, ids: Ids, at: i64) -> Auction {
        // The time in which as many auctions begin as are open: on average, an auction is open for as long.
        let open_events = self.options.open_auctions * CYCLE / AUCTIONS_PER_CYCLE;
        let open_millis = (open_events * 1_000 / self.options.events_per_second).max(1);
        let expires = at + 1 + self.random.below(2 * open_millis) as i64;
        Auction {
            id: ids.auction(),
            seller: ids.seller(&self.options, &mut self.random),
            category: FIRST_CATEGORY + self.random.below(CATEGORIES),
            reserve: self.price() + self.price(),
            expires,
            at,
        }
    }

    /// From 1 to 1,000,000 in the currency; each order of magnitude is as frequent as the next.
    fn price(&mut self) -> u64 {
        let cents = 10_f64.powf(self.random.fraction() * 6.0) * 100.0;
        cents.round() as u64
    }
}

impl Iterator for Ordered {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let number = self.number;
        if number == self.options.events {
            return None;
        }
        self.number += 1;
        let since_start = number * 1_000 / self.options.events_per_second;
        let at = self.options.start + since_start as i64;
        Some(self.event(Ids::at_event(number), at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(options: &Nexmark) -> Vec<Event> {
        options.stream().collect()
    }

    fn small() -> Nexmark {
        Nexmark {
            events: 50_000,
            ..Nexmark::default()
        }
    }

    #[test]
    fn equal_parameters_make_equal_streams() {
        let disordered = Nexmark {
            disorder: 500,
            ..small()
        };
        assert!(stream(&disordered) == stream(&disordered));
        let other = Nexmark {
            seed: 2,
            ..disordered.clone()
        };
        assert!(stream(&disordered) != stream(&other));
    }

    #[test]
    fn of_50_events_one_is_a_person_and_three_are_auctions() {
        let (mut persons, mut auctions, mut bids) = (0, 0, 0);
        for event in small().stream() {
            match event {
                Event::Person(_) => persons += 1,
                Event::Auction(_) => auctions += 1,
                Event::Bid(_) => bids += 1,
            }
        }
        assert_eq!((persons, auctions, bids), (1_000, 3_000, 46_000));
    }

    #[test]
    fn times_follow_the_rate() {
        let options = Nexmark {
            events_per_second: 4_000,
            start: -3_000,
            ..small()
        };
        let times: Vec<i64> = options.stream().map(|event| event.at()).collect();
        assert!(times.is_sorted());
        assert_eq!(times[0], -3_000);
        assert_eq!(times[4_000], -2_000);
        assert_eq!(times[49_999], 9_499);
    }

    #[test]
    fn half_of_the_bids_are_for_the_hot_auction_and_three_quarters_by_the_hot_bidder() {
        let events = stream(&small());
        let bids: Vec<&Bid> = events.iter().filter_map(Event::as_bid).collect();
        let share = |n: usize| n as f64 / bids.len() as f64;
        let hot = bids.iter().filter(|bid| bid.auction % 100 == 0).count();
        // The hot auction is also one of the open ones now and then.
        assert!((0.49..0.52).contains(&share(hot)), "{}", share(hot));
        let hot = bids.iter().filter(|bid| bid.bidder % 100 == 1).count();
        assert!((0.74..0.77).contains(&share(hot)), "{}", share(hot));
    }

    #[test]
    fn three_quarters_of_the_auctions_are_by_the_hot_seller() {
        let (mut hot, mut all) = (0, 0);
        for event in small().stream() {
            if let Event::Auction(auction) = event {
                all += 1;
                hot += u32::from(auction.seller % 100 == 0);
                assert!(auction.expires > auction.at);
                assert!((10..15).contains(&auction.category));
                assert!((200..=200_000_000).contains(&auction.reserve));
            }
        }
        let share = f64::from(hot) / f64::from(all);
        assert!((0.73..0.78).contains(&share), "{share}");
    }
}
