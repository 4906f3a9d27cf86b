//! How do I join two files, and find the first of a ranking?
//!
//! ```console
//! $ cargo run --features flow --example flow_top_airports
//! ```
//!
//! Reads 3,000 flights and 64 airports of `examples/data/flow`. Counts the arrivals at each airport and their mean delay, joins them with the
//! names of the airports, and prints the ten airports with most arrivals.

use broadway::{
    BoxError,
    flow::{Flow, Lines},
};

const FLIGHTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flow/flights.csv");
const AIRPORTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flow/airports.csv");

/// The arrivals at one airport.
#[derive(Clone)]
struct Arrivals {
    flights: u32,
    minutes_late: i64,
}

impl Arrivals {
    const NONE: Self = Self {
        flights: 0,
        minutes_late: 0,
    };

    fn add(&mut self, more: &Self) {
        self.flights += more.flights;
        self.minutes_late += more.minutes_late;
    }
}

/// The fields of a line.
fn fields<const N: usize>(line: &str) -> Result<[&str; N], BoxError> {
    let fields: Vec<_> = line.split(',').collect();
    fields
        .try_into()
        .map_err(|_| format!("has not {N} fields: {line}").into())
}

/// Reads `2026-04-01,Z185,IST,MAD,60`: one arrival, and its airport.
fn flight(line: &str) -> Result<(String, Arrivals), BoxError> {
    let [_date, _flight, _from, to, minutes_late] = fields(line)?;
    let arrival = Arrivals {
        flights: 1,
        minutes_late: minutes_late.parse()?,
    };
    Ok((to.to_owned(), arrival))
}

/// Reads `LHR,Heathrow Airport,London,United Kingdom`: the code, and the city.
fn airport(line: &str) -> Result<(String, String), BoxError> {
    let [code, _name, city, _country] = fields(line)?;
    Ok((code.to_owned(), city.to_owned()))
}

/// The arrivals at each airport. Each worker adds up its own, and only sums cross the partition.
fn arrivals() -> Flow<(String, Arrivals)> {
    Lines::files([FLIGHTS])
        .filter(|line| !line.starts_with("date,"))
        .try_map(flight)
        .named("flight")
        .partition(|(airport, _)| airport.clone())
        .reduce_merging(
            || Arrivals::NONE,
            |sum, (_, arrival)| sum.add(&arrival),
            |sum, of_worker| sum.add(&of_worker),
        )
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let airports = Lines::files([AIRPORTS])
        .filter(|line| !line.starts_with("iata,"))
        .try_map(airport)
        .named("airport");
    let top = arrivals()
        .name("airports")
        .join(
            airports,
            |arrivals| arrivals.0.clone(),
            |airport| airport.0.clone(),
        )
        .items_max(10_000)
        // An airport that is not in the list has no city.
        .left(|(code, arrivals), airport| (code, airport.map(|airport| airport.1), arrivals))
        .take_sort(10, |a, b| {
            b.2.flights.cmp(&a.2.flights).then_with(|| a.0.cmp(&b.0))
        });
    for (code, city, arrivals) in top.collect().await?.into_iter().flatten() {
        let city = city.unwrap_or_else(|| "unknown".to_owned());
        let mean = arrivals.minutes_late as f64 / f64::from(arrivals.flights);
        println!(
            "{code}  {city:<12} {:>4} arrivals, {mean:>5.1} minutes late",
            arrivals.flights
        );
    }
    Ok(())
}
