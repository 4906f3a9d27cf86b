//! `one_key_asleep`: how long messages take while one key sleeps.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use broadway::{BoxError, Handler, Message, Next, NoBatcher, Pipeline, Processors, source};
use tokio::runtime::Runtime;
use tokio_stream::{StreamExt, wrappers::IntervalStream};

use crate::{
    line::{Figures, Line, median},
    messages::{IN_FLIGHT, work},
    support::BoxError as BenchError,
};

const KEYS: u64 = 1_000;
/// The key that sleeps.
const ASLEEP: u64 = 0;
const SLEEP: Duration = Duration::from_secs(10);
/// Messages that arrive every [`TICK`]: about 15 handlers run at once.
const EACH_TICK: u64 = 12;
const TICK: Duration = Duration::from_millis(2);
const TICKS: u64 = 2_000;

struct Arrival {
    key: u64,
    sleep: Duration,
    at: Instant,
}

/// Sleeps, and records how long the messages of other keys took.
struct Timed {
    sleeper: bool,
    took: Arc<Mutex<Vec<f64>>>,
}

impl Handler for Timed {
    type In = Arrival;
    type Out = ();
    type Batcher = NoBatcher;

    async fn handle_message(
        &self,
        message: &mut Message<Arrival>,
    ) -> Result<Next<(), NoBatcher>, BoxError> {
        let Arrival { key, sleep, at } = *message.data();
        if key == ASLEEP {
            if self.sleeper {
                tokio::time::sleep(SLEEP).await;
            }
            return Ok(Next::Ack);
        }
        tokio::time::sleep(sleep).await;
        let took = at.elapsed().as_secs_f64() * 1e3;
        self.took
            .lock()
            .expect("nothing panics under it")
            .push(took);
        Ok(Next::Ack)
    }
}

pub(crate) fn measure(runtime: &Runtime, rounds: usize, quick: bool) -> Result<Line, BenchError> {
    let ticks = if quick { TICKS / 10 } else { TICKS };
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let p99 = runtime.block_on(async { tokio::spawn(p99(ticks, true)).await })?;
        let reference = runtime.block_on(async { tokio::spawn(self::p99(ticks, false)).await })?;
        ratios.push(reference / p99);
        ours.push(p99);
        theirs.push(reference);
    }
    Ok(Line {
        messages: ticks * EACH_TICK,
        rounds,
        reference: "nobody_asleep",
        figures: Figures::P99 {
            p99_ms: median(ours),
            reference_p99_ms: median(theirs),
        },
        ratio: median(ratios),
        goal: Some(0.95),
    })
}

/// Returns the 99th percentile of the time from arrival to the end of the handler, in milliseconds.
async fn p99(ticks: u64, sleeper: bool) -> f64 {
    let took = Arc::new(Mutex::new(Vec::new()));
    let handler = Timed {
        sleeper,
        took: Arc::clone(&took),
    };
    let source = source::from_stream(move |_| {
        let mut n = 0;
        let arrivals = IntervalStream::new(tokio::time::interval(TICK)).take(ticks as usize);
        futures_util::StreamExt::flat_map(arrivals, move |_| {
            n += EACH_TICK;
            futures_util::stream::iter((n - EACH_TICK..n).map(|n| {
                let work = work(n, KEYS);
                Arrival {
                    key: work.key,
                    sleep: work.sleep,
                    at: Instant::now(),
                }
            }))
        })
    });
    let processors = Processors::new(2)
        .in_flight(IN_FLIGHT)
        .partition_by(|message: &Message<Arrival>| message.data().key);
    let pipeline = Pipeline::new(source, handler).processors(processors);
    let topology = pipeline.start().await.expect("the options are valid");
    // Until all have arrived and are handled; the sleeper's are left.
    tokio::time::sleep(TICK * ticks as u32 + Duration::from_millis(300)).await;
    let _ = topology.abort().await;
    let mut took = std::mem::take(&mut *took.lock().expect("nothing panics under it"));
    took.sort_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}
