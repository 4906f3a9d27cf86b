//! [`Event`]: what happens in the auction house. Times are in milliseconds, prices in cents.

/// A seller or bidder who registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// From 1,000, without gaps.
    pub(crate) id: u64,
    /// The first and the last name.
    pub(crate) name: String,
    /// One of a fixed list.
    pub(crate) city: &'static str,
    /// One of a fixed list.
    pub(crate) state: &'static str,
    /// The time of the event.
    pub(crate) at: i64,
}

/// A new auction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Auction {
    /// From 1,000, without gaps.
    pub(crate) id: u64,
    /// The id of a person.
    pub(crate) seller: u64,
    /// From 10 to 14.
    pub(crate) category: u64,
    /// The lowest price to sell at.
    pub(crate) reserve: u64,
    /// The end of the auction.
    pub(crate) expires: i64,
    /// The time of the event.
    pub(crate) at: i64,
}

/// A bid for an item in an auction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bid {
    /// The id of an auction.
    pub(crate) auction: u64,
    /// The id of a person.
    pub(crate) bidder: u64,
    /// The price offered.
    pub(crate) price: u64,
    /// The time of the event.
    pub(crate) at: i64,
}

/// An event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A person registers.
    Person(Person),
    /// An auction begins.
    Auction(Auction),
    /// A bid is placed.
    Bid(Bid),
}

impl Event {
    /// The time of the event.
    pub(crate) const fn at(&self) -> i64 {
        match self {
            Self::Person(person) => person.at,
            Self::Auction(auction) => auction.at,
            Self::Bid(bid) => bid.at,
        }
    }

    /// The bid, if it is one.
    pub(crate) const fn as_bid(&self) -> Option<&Bid> {
        match self {
            Self::Bid(bid) => Some(bid),
            Self::Person(_) | Self::Auction(_) => None,
        }
    }
}
