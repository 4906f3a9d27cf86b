//! Query 8, new sellers: who registered and began an auction soon after?

use std::collections::BTreeSet;

use super::Event;

/// A person who registered and began an auction, both in one window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NewSeller {
    /// The first millisecond of the window.
    pub(crate) window_start: i64,
    /// The id of the person.
    pub(crate) person: u64,
    /// The name of the person.
    pub(crate) name: String,
}

/// The new sellers of each window, sorted, each once. Windows of `size` milliseconds follow one another, and one begins at 0.
pub(crate) fn new_sellers<'a>(
    events: impl IntoIterator<Item = &'a Event>,
    size: i64,
) -> Vec<NewSeller> {
    let mut registered = Vec::new();
    let mut began = BTreeSet::new();
    for event in events {
        let window_start = event.at().div_euclid(size) * size;
        match event {
            Event::Person(person) => registered.push((window_start, person)),
            Event::Auction(auction) => {
                began.insert((window_start, auction.seller));
            }
            Event::Bid(_) => {}
        }
    }
    registered.retain(|(window_start, person)| began.contains(&(*window_start, person.id)));
    let sellers = registered
        .into_iter()
        .map(|(window_start, person)| NewSeller {
            window_start,
            person: person.id,
            name: person.name.clone(),
        });
    sellers.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexmark::{Auction, Person};

    fn person(at: i64, id: u64) -> Event {
        Event::Person(Person {
            id,
            name: format!("person {id}"),
            city: "Bend",
            state: "OR",
            at,
        })
    }

    fn auction(at: i64, seller: u64) -> Event {
        Event::Auction(Auction {
            id: 1,
            seller,
            category: 10,
            reserve: 1,
            expires: at + 1,
            at,
        })
    }

    fn seller(window_start: i64, id: u64) -> NewSeller {
        NewSeller {
            window_start,
            person: id,
            name: format!("person {id}"),
        }
    }

    #[test]
    fn a_person_and_an_auction_match_in_one_window_and_whatever_their_order() {
        let events = [
            person(12, 4),
            auction(2, 2),
            person(9, 2),
            person(3, 1),
            auction(10, 1),
            auction(19, 4),
            auction(5, 3),
        ];
        assert_eq!(new_sellers(&events, 10), [seller(0, 2), seller(10, 4)]);
    }

    #[test]
    fn a_seller_of_several_auctions_is_returned_once() {
        let events = [person(1, 5), auction(2, 5), auction(3, 5), person(1, 5)];
        assert_eq!(new_sellers(&events, 10), [seller(0, 5)]);
    }
}
