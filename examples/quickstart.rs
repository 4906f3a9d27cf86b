//! What does a whole pipeline look like?
//!
//! Run: `cargo run --release --example quickstart`
//!
//! It reads 20,000 real flights and 30 malformed records, two hundred times. Flights that are more
//! than an hour late go to one batcher, all others to another, which makes one batch per airport.
//! Malformed records fail and are written to a file with their reasons. Prints its progress for some
//! seconds, and then a summary.
//!
//! With `-- 5000` it reads the data 5,000 times: press Ctrl-C in the middle. In-flight messages
//! finish, the summary is printed, and the exit code is 0. It is 1 if the run failed, and 2 for
//! invalid arguments.

use std::{
    collections::HashMap,
    convert::Infallible,
    env, fs,
    io::{self, IsTerminal, Write, stderr, stdout},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use broadway::{
    Batch, Batching, BoxError, Failed, Handler, Message, Next, Pipeline, batchers, source,
    telemetry::Summary,
};
use serde::Deserialize;
use serde_json::error::Category;

const FLIGHTS: &str = include_str!("data/flights.jsonl");
const MALFORMED: &str = include_str!("data/flights-malformed.jsonl");

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "some fields are checked and shown, but not used")]
struct Flight {
    date: String,
    delay: i32, // minutes late on arrival; negative is early
    distance: u32,
    origin: String,
    destination: String,
}

// 1. The batchers: a closed set, so that none can be misspelt or forgotten.
batchers! { enum Sink { Delayed, PerAirport } }

/// The results of the sinks. In your program they write to a database, or to the next topic.
#[derive(Default)]
struct Report {
    latest: Option<Flight>,
    flights_from: HashMap<String, usize>,
}

/// 2. The handler: one value, which all processors call concurrently.
struct Flights {
    report: Arc<Mutex<Report>>,
    rejects: fs::File,
}

impl Handler for Flights {
    type In = &'static str; // the item of the source
    type Out = Flight; // the item of a batch
    type Batcher = Sink;

    /// Called for each message. An error or a panic fails this message only.
    async fn handle_message(
        &self,
        message: &mut Message<&'static str>,
    ) -> Result<Next<Flight, Sink>, BoxError> {
        let flight: Flight =
            serde_json::from_str(message.data()).map_err(|error| in_short(&error))?;
        if flight.delay > 60 {
            return Ok(Next::batch(Sink::Delayed, flight));
        }
        let airport = flight.origin.clone();
        Ok(Next::batch(Sink::PerAirport, flight).key(airport))
    }

    /// Called for each batch. The messages are acknowledged if it returns `Ok`.
    async fn handle_batch(&self, sink: Sink, batch: &mut Batch<Flight>) -> Result<(), BoxError> {
        let mut report = self.report.lock().map_err(|_| "the report is lost")?;
        match sink {
            Sink::Delayed => {
                let candidates = batch.take_data().into_iter().chain(report.latest.take());
                report.latest = candidates.max_by_key(|flight| flight.delay);
            }
            Sink::PerAirport => {
                let airport = batch.key().to_string();
                *report.flights_from.entry(airport).or_default() += batch.len();
            }
        }
        Ok(())
    }

    /// Called with failed messages, before they are settled. The place for logs and dead letters.
    async fn handle_failed(&self, failed: &mut [Failed<&'static str, Flight>]) {
        let lines = failed
            .iter()
            .map(|failed| format!("{}\t{}\n", failed.reason(), failed.message().data()));
        let written = (&self.rejects).write_all(lines.collect::<String>().as_bytes());
        written.unwrap_or_else(|error| eprintln!("cannot write rejected records: {error}"));
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let passes = match passes(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(passes) => passes,
        Err(code) => return code,
    };
    match run(passes).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(passes: usize) -> Result<(), BoxError> {
    let rejects = env::temp_dir().join("quickstart-rejects.txt");
    let report = Arc::new(Mutex::new(Report::default()));
    let handler = Flights {
        report: Arc::clone(&report),
        rejects: fs::File::create(&rejects)
            .map_err(|error| format!("cannot create {}: {error}", rejects.display()))?,
    };

    // 3. The source: here an iterator. Use the source of a connector in its place.
    let lines = || FLIGHTS.lines().chain(MALFORMED.lines());
    let source = source::from_iter(move |_producer| (0..passes).flat_map(move |_| lines()));

    // 4. The pipeline. All options have defaults. `start` checks them and opens the source.
    let summary = Summary::new();
    let topology = Pipeline::new(source, handler)
        .name("flights")
        .batchers(|sink| match sink {
            Sink::Delayed => Batching::new(500, Duration::from_millis(200)),
            Sink::PerAirport => Batching::new(100, Duration::from_millis(200)).concurrency(2),
        })
        .observe(summary.clone())
        .start()
        .await?;
    eprintln!("{}", topology.describe());

    // 5. Runs until the source ends or Ctrl-C. In-flight messages finish and are settled before
    //    this returns.
    tokio::select! {
        ended = topology.wait_or_signal() => ended?,
        never = show_progress(&summary) => match never {},
    };
    eprintln!();
    let report = report.lock().expect("handlers do not panic with it");
    match print(&summary, &rejects, &report) {
        // The reader of the output, such as `head`, has closed it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => Ok(printed?),
    }
}

fn print(summary: &Summary, rejects: &Path, report: &Report) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{summary}\n")?;
    writeln!(
        out,
        "  rejected records, with reasons: {}",
        rejects.display()
    )?;
    if let Some(flight) = &report.latest {
        writeln!(out, "  latest arrival: {flight:?}")?;
    }
    if let Some((airport, flights)) = report.flights_from.iter().max_by_key(|(_, n)| **n) {
        writeln!(out, "  busiest airport: {airport}, {flights} flights")?;
    }
    Ok(())
}

const USAGE: &str = "\
usage: quickstart [PASSES]

Reads 20,030 flights PASSES times (200 by default) and prints a summary.
Exit codes: 0 done or interrupted, 1 failed, 2 invalid arguments.";

/// The number of passes on the command line, or the exit code.
fn passes(arguments: &[String]) -> Result<usize, ExitCode> {
    let wrong = match arguments {
        [] => return Ok(200),
        [help] if help == "-h" || help == "--help" => {
            println!("{USAGE}");
            return Err(ExitCode::SUCCESS);
        }
        [passes] => match passes.parse() {
            Ok(passes) => return Ok(passes),
            Err(error) => format!("PASSES is {passes:?}: {error}"),
        },
        _ => "too many arguments".to_owned(),
    };
    eprintln!("quickstart: {wrong}\n\n{USAGE}");
    Err(ExitCode::from(2))
}

/// Updates one line in a terminal; elsewhere prints a line every two seconds.
async fn show_progress(summary: &Summary) -> Infallible {
    let (begin, end, every_ms) = match stderr().is_terminal() {
        true => ("\r", "\x1b[K", 200),
        false => ("", "\n", 2_000),
    };
    loop {
        tokio::time::sleep(Duration::from_millis(every_ms)).await;
        eprint!("{begin}{}{end}", summary.progress_line());
    }
}

/// A short reason that many records share, so that the summary groups them.
fn in_short(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        Category::Eof => "JSON that is cut off",
        Category::Syntax | Category::Io => "not JSON",
        Category::Data => "JSON, but not a flight",
    }
}
