//! The pipelines of the scenarios, and their figures.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use broadway::{Message, Pipeline, Processors, handler_fn};

use crate::source::{Made, Pace, Paced, compute};

/// Messages whose latency is measured.
const LATENCIES: usize = 500;
const MESSAGES: u64 = 200_000;
const PROCESSORS: usize = 2;

/// One measurement.
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

fn run(program: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(program);
}

/// Without a limit.
fn at_once(left: u64) -> Pace {
    Pace::AtOnce {
        left,
        computes: Duration::ZERO,
        blocks: Duration::ZERO,
    }
}

/// The 99th percentile of the time from a message's tick to its handler. With two producers, the other one always has messages.
pub(crate) fn latency(producers: usize, period: Duration) -> Figure {
    let latencies = Arc::new(Mutex::new(Vec::with_capacity(LATENCIES)));
    let handler = handler_fn({
        let latencies = Arc::clone(&latencies);
        move |message: &mut Message<Made>| {
            if message.data().producer == 0 {
                let mut latencies = latencies.lock().expect("no handler panics");
                latencies.push(message.data().at.elapsed());
            }
            Ok(())
        }
    });
    let mut paces = vec![Pace::Every(period)];
    paces.resize(producers, at_once(u64::MAX));
    run(async {
        let pipeline = Pipeline::new(Paced(paces), handler).producers(producers);
        let topology = pipeline.processors(Processors::new(PROCESSORS)).start();
        let topology = topology.await.expect("valid options");
        while latencies.lock().expect("no handler panics").len() < LATENCIES {
            tokio::time::sleep(10 * period).await;
        }
        topology.drain().await.expect("nothing fails");
    });
    let mut latencies = latencies.lock().expect("no handler panics");
    latencies.sort();
    let at = latencies.len() * 99 / 100;
    Figure {
        value: latencies[at].as_secs_f64() * 1e6,
        unit: "µs, 99th percentile",
    }
}

/// The least share of three producers that always have messages: at best a third.
pub(crate) fn fairness() -> Figure {
    let counts: Arc<[AtomicUsize; 3]> = Arc::default();
    let handler = handler_fn({
        let counts = Arc::clone(&counts);
        move |message: &mut Message<Made>| {
            counts[message.data().producer].fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    });
    run(async {
        let source = Paced(vec![at_once(u64::MAX); 3]);
        let pipeline = Pipeline::new(source, handler).producers(3);
        let topology = pipeline.processors(Processors::new(PROCESSORS)).start();
        let topology = topology.await.expect("valid options");
        tokio::time::sleep(Duration::from_millis(200)).await;
        topology.drain().await.expect("nothing fails");
    });
    let counts = counts.each_ref().map(|count| count.load(Ordering::Relaxed));
    let least = counts.iter().min().copied().unwrap_or(0);
    Figure {
        value: 100.0 * least as f64 / counts.iter().sum::<usize>() as f64,
        unit: "% for the least of three",
    }
}

/// The time per message of a producer whose calls compute or block, with a handler that computes for a microsecond.
pub(crate) fn throughput(computes: Duration, blocks: Duration) -> Figure {
    let messages = if blocks.is_zero() {
        MESSAGES
    } else {
        MESSAGES / 10
    };
    let pace = Pace::AtOnce {
        left: messages,
        computes,
        blocks,
    };
    let handler = handler_fn(|_: &mut Message<Made>| {
        compute(Duration::from_micros(1));
        Ok(())
    });
    let began = Instant::now();
    run(async {
        let pipeline = Pipeline::new(Paced(vec![pace]), handler);
        let topology = pipeline.processors(Processors::new(PROCESSORS)).start();
        let topology = topology.await.expect("valid options");
        topology.wait().await.expect("nothing fails");
    });
    Figure {
        value: began.elapsed().as_secs_f64() * 1e9 / messages as f64,
        unit: "ns of wall time per message",
    }
}
