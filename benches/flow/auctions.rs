//! Queries of NEXMark as flows. Each run compares its result with the naive one.

use std::{sync::Arc, time::Duration};

use broadway::flow::{EventTime, Flow, Timestamp, Windowed, Windows};
use tokio::runtime::Runtime;

use crate::{
    cost::{Cost, in_turn, timed},
    nexmark::{
        Auction, Bid, Event, HighestBid, HotItem, HotItemsByHand, NewSeller, Nexmark, Person,
        highest_bids, hot_items, new_sellers,
    },
    report::Line,
    support::BoxError,
};

/// Workers of each segment behind the times.
const WORKERS: usize = 2;

/// Events arrive up to a second late.
const DISORDER: u64 = 1_000;

/// Hot items: the size and the slide of windows, in milliseconds.
const HOT_SIZE: i64 = 10_000;
const HOT_SLIDE: i64 = 1_000;

/// Windows of the other queries.
const SIZE: i64 = 10_000;

/// The events of the auction house.
fn events(n: u64) -> Arc<[Event]> {
    let options = Nexmark {
        events: n,
        disorder: DISORDER,
        ..Nexmark::default()
    };
    options.stream().collect()
}

fn millis(n: i64) -> Duration {
    Duration::from_millis(n.unsigned_abs())
}

/// A flow of all events, with their times.
fn timed_events(events: &Arc<[Event]>) -> Flow<Event> {
    let events = Arc::clone(events);
    let items = (0..events.len()).map(move |n| events[n].clone());
    let times = EventTime::new(|event: &Event| Timestamp::from_millis(event.at()));
    Flow::from_iter(items).event_time(times.disorder(millis(DISORDER as i64)))
}

fn window_start<T>(result: &Windowed<T>) -> i64 {
    result.start().map_or(0, Timestamp::as_millis)
}

fn bids(events: &[Event]) -> impl Iterator<Item = &Bid> {
    events.iter().filter_map(Event::as_bid)
}

/// The most of a count or price, and all that have it.
type Most<T> = (u64, Vec<T>);

/// Query 5: the auctions with the most bids, in sliding windows.
async fn hot_items_flow(events: Arc<[Event]>) -> Result<Vec<HotItem>, BoxError> {
    let bids = timed_events(&events)
        .workers(WORKERS)
        .filter_map(|event| event.as_bid().map(|bid| bid.auction));
    let windows = Windows::sliding(millis(HOT_SIZE), millis(HOT_SLIDE));
    let counts = bids
        .partition(|auction| *auction)
        .workers(WORKERS)
        .window(windows)
        .count();
    let counts = counts.map(|count| (window_start(&count), count.value));
    // The counts of a window have the time of its end, so a window of one slide has the counts of one window.
    let most = counts
        .partition(|_| ())
        .workers(1)
        .window(Windows::fixed(millis(HOT_SLIDE)));
    let most = most.reduce_merging(
        || (0, Vec::new()),
        |most: &mut Most<(i64, u64)>, (start, (auction, bids))| {
            keep_most(most, bids, [(start, auction)])
        },
        |most, (bids, auctions)| keep_most(most, bids, auctions),
    );
    let most = most.flat_map(|window| {
        let (_, (bids, auctions)) = window.value;
        let items = auctions.into_iter();
        items.map(move |(window_start, auction)| HotItem {
            window_start,
            auction,
            bids,
        })
    });
    Ok(most.collect().await?)
}

/// Query 7: the bids with the highest price, in fixed windows.
async fn highest_bids_flow(events: Arc<[Event]>) -> Result<Vec<HighestBid>, BoxError> {
    let bids = timed_events(&events)
        .workers(WORKERS)
        .filter_map(|event| event.as_bid().copied());
    let highest = bids
        .partition(|_| ())
        .workers(1)
        .window(Windows::fixed(millis(SIZE)));
    let highest = highest.reduce_merging(
        || (0, Vec::new()),
        |most: &mut Most<Bid>, bid: Bid| keep_most(most, bid.price, [bid]),
        |most, (price, bids)| keep_most(most, price, bids),
    );
    let highest = highest.flat_map(|window| {
        let start = window_start(&window);
        let (_, (price, bids)) = window.value;
        bids.into_iter().map(move |bid| HighestBid {
            window_start: start,
            price,
            auction: bid.auction,
            bidder: bid.bidder,
        })
    });
    Ok(highest.collect().await?)
}

/// Query 8: persons who registered and began an auction, in fixed windows.
async fn new_sellers_flow(events: Arc<[Event]>) -> Result<Vec<NewSeller>, BoxError> {
    let sides = timed_events(&events)
        .workers(WORKERS)
        .filter_map(|event| match event {
            Event::Person(Person { id, name, .. }) => Some((id, Some(name))),
            Event::Auction(Auction { seller, .. }) => Some((seller, None)),
            Event::Bid(_) => None,
        });
    let sellers = sides
        .partition(|(person, _)| *person)
        .workers(WORKERS)
        .window(Windows::fixed(millis(SIZE)));
    let sellers = sellers.reduce_merging(
        || (None, false),
        |(registered, sold): &mut (Option<String>, bool), (_, name)| match name {
            Some(name) => *registered = Some(name),
            None => *sold = true,
        },
        |(registered, sold), (other, other_sold)| {
            *registered = registered.take().or(other);
            *sold |= other_sold;
        },
    );
    let sellers = sellers.filter_map(|seller| {
        let window_start = window_start(&seller);
        match seller.value {
            (person, (Some(name), true)) => Some(NewSeller {
                window_start,
                person,
                name,
            }),
            _ => None,
        }
    });
    Ok(sellers.collect().await?)
}

/// Keeps the items of the larger figure, and all of equal ones.
fn keep_most<T>(most: &mut Most<T>, figure: u64, items: impl IntoIterator<Item = T>) {
    if figure > most.0 {
        most.0 = figure;
        most.1.clear();
    }
    if figure == most.0 {
        most.1.extend(items);
    }
}

/// Runs a query, and compares its result with the expected one.
fn run<R, F>(
    runtime: &Runtime,
    query: fn(Arc<[Event]>) -> F,
    events: &Arc<[Event]>,
    expected: &[R],
) -> Result<Cost, BoxError>
where
    R: Ord + Send + 'static,
    F: Future<Output = Result<Vec<R>, BoxError>> + Send + 'static,
{
    let (mut result, cost) = timed(|| {
        let query = query(Arc::clone(events));
        runtime.block_on(async { tokio::spawn(query).await })?
    })?;
    result.sort();
    check(&result, expected)?;
    Ok(cost)
}

fn check<R: PartialEq>(result: &[R], expected: &[R]) -> Result<(), BoxError> {
    if result == expected {
        return Ok(());
    }
    let (n, expected) = (result.len(), expected.len());
    Err(format!("nexmark: wrong result, of {n} rows instead of {expected}").into())
}

/// Query 5, beside a program by hand on one thread.
pub(crate) fn hot_items_query(n: u64, rounds: usize, runtime: &Runtime) -> Result<Line, BoxError> {
    let events = events(n);
    let expected = hot_items(bids(&events), HOT_SIZE, HOT_SLIDE);
    let by_hand = || {
        let (result, cost) = timed(|| {
            let mut query = HotItemsByHand::new(HOT_SIZE, HOT_SLIDE, DISORDER as i64);
            // Bids are cloned for both programs.
            (0..events.len())
                .map(|n| events[n].clone())
                .for_each(|event| {
                    if let Event::Bid(bid) = event {
                        query.add(&bid);
                    }
                });
            Ok(query.finish())
        })?;
        check(&result, &expected)?;
        Ok(cost)
    };
    let ours = || run(runtime, hot_items_flow, &events, &expected);
    let rounds = in_turn(rounds, &ours, Some(&by_hand))?;
    let line = Line::new("nexmark_q5", (n, "events"), &rounds);
    Ok(line.reference("one_thread", &rounds, None))
}

/// Query 7.
pub(crate) fn highest_bids_query(
    n: u64,
    rounds: usize,
    runtime: &Runtime,
) -> Result<Line, BoxError> {
    let events = events(n);
    let expected = highest_bids(bids(&events), SIZE);
    let ours = || run(runtime, highest_bids_flow, &events, &expected);
    let rounds = in_turn(rounds, &ours, None)?;
    Ok(Line::new("nexmark_q7", (n, "events"), &rounds))
}

/// Query 8.
pub(crate) fn new_sellers_query(
    n: u64,
    rounds: usize,
    runtime: &Runtime,
) -> Result<Line, BoxError> {
    let events = events(n);
    let expected = new_sellers(events.iter(), SIZE);
    let ours = || run(runtime, new_sellers_flow, &events, &expected);
    let rounds = in_turn(rounds, &ours, None)?;
    Ok(Line::new("nexmark_q8", (n, "events"), &rounds))
}
