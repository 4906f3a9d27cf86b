//! NEXMark: the events of an auction house, and the expected results of three of its queries.
//!
//! The events, their proportions and their skew are as in the suite of Apache Beam. The code is our own.

mod disorder;
mod event;
mod events;
mod highest_bid;
mod hot_items;
mod hot_items_by_hand;
mod ids;
mod names;
mod new_seller;

pub(crate) use event::{Auction, Bid, Event, Person};
pub(crate) use events::Nexmark;
pub(crate) use highest_bid::{HighestBid, highest_bids};
pub(crate) use hot_items::{HotItem, hot_items};
pub(crate) use hot_items_by_hand::HotItemsByHand;
pub(crate) use new_seller::{NewSeller, new_sellers};
