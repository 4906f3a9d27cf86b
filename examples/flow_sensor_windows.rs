//! How do I aggregate in windows of event time, when events come out of order and late?
//!
//! ```console
//! $ cargo run --features flow --example flow_sensor_windows
//! ```
//!
//! Reads 2,000 temperatures of five sensors, `examples/data/flow/sensor_readings.csv`, and prints the mean, the least and the highest of each minute.
//! Most readings are at most 4.4 s out of order, which `disorder` allows for. Seven were held up for minutes: two come within the lateness of
//! their window, which emits its result again, marked with `*`. Five are too late, and are listed.

use std::{collections::BTreeMap, fmt, time::Duration};

use broadway::{
    BoxError,
    flow::{EventTime, Firing, Flow, Late, Timestamp, Windowed, Windows},
};
use futures_util::{StreamExt, stream};

const READINGS: &str = include_str!("data/flow/sensor_readings.csv");
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Reading {
    at: Timestamp,
    sensor: String,
    celsius: f64,
}

/// Reads `772,cellar,14.0`.
fn reading(line: &str) -> Result<Reading, BoxError> {
    let mut fields = line.split(',');
    let mut next = || {
        fields
            .next()
            .ok_or_else(|| format!("a field is missing: {line}"))
    };
    Ok(Reading {
        at: Timestamp::from_millis(next()?.parse()?),
        sensor: next()?.to_owned(),
        celsius: next()?.parse()?,
    })
}

/// What the readings of a sensor and a minute are reduced to.
#[derive(Clone)]
struct Range {
    n: u32,
    sum: f64,
    least: f64,
    highest: f64,
}

impl Range {
    const EMPTY: Self = Self {
        n: 0,
        sum: 0.0,
        least: f64::INFINITY,
        highest: f64::NEG_INFINITY,
    };

    fn add(&mut self, celsius: f64) {
        self.n += 1;
        self.sum += celsius;
        self.least = self.least.min(celsius);
        self.highest = self.highest.max(celsius);
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mean = self.sum / f64::from(self.n);
        write!(f, "{mean:.2} ({:.1} to {:.1})", self.least, self.highest)
    }
}

type SensorResult = Windowed<(String, Range)>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // One reading after the other, as sensors send them. The lines of a file would come in packets of 1,000, behind which the watermark advances.
    let lines = stream::iter(READINGS.lines().skip(1)).then(async |line| {
        tokio::task::yield_now().await;
        line
    });
    let times = EventTime::new(|reading: &Reading| reading.at).disorder(Duration::from_secs(5));
    let results = Flow::from_stream(lines)
        .name("sensors")
        .try_map(reading)
        .event_time(times)
        .partition(|reading| reading.sensor.clone())
        .window(Windows::fixed(MINUTE).lateness(2 * MINUTE))
        .on_late(|late| print_late(&late))
        .reduce(|| Range::EMPTY, |range, reading| range.add(reading.celsius))
        .collect()
        .await?;
    print(results);
    Ok(())
}

fn print_late(late: &Late<String, Reading>) {
    let (seconds, celsius) = (late.time.as_millis() / 1_000, late.event.celsius);
    println!("too late: {} at {seconds} s, {celsius:.1} °C", late.key);
}

/// Prints a line for each minute, and a column for each sensor.
fn print(results: Vec<SensorResult>) {
    let mut minutes: BTreeMap<i64, BTreeMap<String, String>> = BTreeMap::new();
    for result in results {
        let start = result.start().expect("fixed windows have a start");
        let (sensor, range) = result.value;
        // The result of a late reading replaces the one before.
        let mark = if result.firing == Firing::Late {
            "*"
        } else {
            ""
        };
        let minute = minutes.entry(start.as_millis() / 60_000).or_default();
        minute.insert(sensor, format!("{range}{mark}"));
    }
    for (minute, sensors) in minutes {
        let columns: Vec<_> = sensors
            .iter()
            .map(|(sensor, range)| format!("{sensor} {range:<22}"))
            .collect();
        println!("{minute:>2} min  {}", columns.join(" ").trim_end());
    }
}
