//! `idle_keys_1m`: what a million keys leave behind.

use std::process::Command;

use broadway::{Message, Pipeline, Processors, handler_fn, source};
use tokio::runtime::Runtime;

use crate::{
    line::{Figures, Line},
    messages::IN_FLIGHT,
    support::{BoxError, measure, memory},
};

const MESSAGES: u64 = 1_000_000;
const SCENARIO: &str = "idle_keys_1m";
const OURS: &str = "keys_1m";
const REFERENCE: &str = "one_key";

pub(crate) fn measure(_: &Runtime, _: usize, quick: bool) -> Result<Line, BoxError> {
    let messages = if quick { MESSAGES / 10 } else { MESSAGES };
    let (rss_kib, reference_rss_kib) = (ask(OURS, messages)?, ask(REFERENCE, messages)?);
    Ok(Line {
        messages,
        rounds: 1,
        reference: REFERENCE,
        figures: Figures::Memory {
            rss_kib,
            reference_rss_kib,
        },
        ratio: reference_rss_kib as f64 / rss_kib as f64,
        goal: None,
    })
}

/// Measures in a process of its own.
fn ask(program: &str, messages: u64) -> Result<u64, BoxError> {
    let output = Command::new(std::env::current_exe()?)
        .args(memory::arguments(SCENARIO, program, messages))
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(std::str::from_utf8(&output.stdout)?.trim().parse()?)
}

/// The child process: prints its resident memory, in KiB, once all messages are handled and the pipeline is idle.
pub(crate) fn answer(program: &str, messages: u64) -> Result<(), BoxError> {
    let keys = if program == OURS { messages } else { 1 };
    measure::runtime()?.block_on(async {
        let numbers = futures_util::stream::iter(0..messages);
        let source = source::from_stream(move |_| {
            futures_util::StreamExt::chain(numbers.clone(), futures_util::stream::pending())
        });
        let processors = Processors::new(2)
            .in_flight(IN_FLIGHT)
            .partition_by(move |message: &Message<u64>| *message.data() % keys);
        let handler = handler_fn(|_: &mut Message<u64>| Ok(()));
        let topology = Pipeline::new(source, handler)
            .processors(processors)
            .start()
            .await?;
        while topology.totals().done < messages {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        println!("{}", rss_kib().ok_or("there is no /proc/self/status")?);
        let _ = topology.abort().await;
        Ok(())
    })
}

fn rss_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
