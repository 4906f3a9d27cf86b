//! How the engine treats sources that are not merely quick: the latency of a lone message, the shares of several producers, and
//! producers that are slow or block their thread.
//!
//! It has no reference program. Run it several times before and after a change of the engine, in turn, and compare the medians.
//!
//! ```console
//! $ cargo bench --bench sources                  # a table
//! $ cargo bench --bench sources -- --json        # one object a line
//! ```

mod programs;
mod source;

use std::{process::ExitCode, time::Duration};

use self::programs::{Figure, fairness, latency, throughput};

const ROUNDS: usize = 5;

/// A name, and a run.
type Scenario = (&'static str, fn() -> Figure);

fn main() -> ExitCode {
    let is_json = std::env::args().any(|argument| argument == "--json");
    let scenarios: [Scenario; 6] = [
        ("latency_idle", || latency(1, Duration::from_millis(1))),
        ("latency_beside_a_busy_producer", || {
            latency(2, Duration::from_millis(1))
        }),
        ("fairness", fairness),
        ("quick_source", || {
            throughput(Duration::ZERO, Duration::ZERO)
        }),
        ("slow_source", || {
            throughput(Duration::from_micros(100), Duration::ZERO)
        }),
        ("blocking_source", || {
            throughput(Duration::ZERO, Duration::from_millis(2))
        }),
    ];
    for (name, scenario) in scenarios {
        let mut figures: Vec<Figure> = (0..ROUNDS).map(|_| scenario()).collect();
        figures.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (least, median, most) = (&figures[0], &figures[ROUNDS / 2], &figures[ROUNDS - 1]);
        if is_json {
            println!(
                r#"{{"bench":"sources","scenario":"{name}","unit":"{}","median":{:.2},"least":{:.2},"most":{:.2}}}"#,
                median.unit, median.value, least.value, most.value
            );
        } else {
            println!(
                "{name:32} {:10.2} {:28} {:.2} to {:.2}",
                median.value, median.unit, least.value, most.value
            );
        }
    }
    ExitCode::SUCCESS
}
