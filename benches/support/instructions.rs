//! Counts machine instructions per message, and compares them with the limits in `instructions.json`.
//!
//! CPU time moves with the load of the machine, and instructions hardly do. `valgrind --tool=callgrind` runs our program of each
//! scenario twice, with different numbers of messages; the difference in instructions, divided by the difference in messages,
//! leaves out the start and the end of the program. The number of chunks and wakes depends on the order in which threads run, so
//! counts vary by some percent: a count above its limit is repeated, and the lowest one counts. [`MARGIN_PERCENT`] allows for the rest.
//!
//! The same runs count allocations. Scenarios that allocate nothing per message stay below [`ALLOCS_MAX`].

use std::process::Command;

use super::limits::{Limits, Verdict};
use super::memory::{self, Memory};
use super::scenario::Scenario;
use super::{BoxError, measure};

/// The share of a full run that the shorter of the two runs takes.
const SHORT_SHARE: u64 = 20;

/// Messages of the longer run per message of the shorter one.
const LONG_BY_SHORT: u64 = 3;

/// How often a scenario above its limit is counted.
const COUNTS_MAX: usize = 3;

/// Allocations per message that round to none: buffers that still grow.
const ALLOCS_MAX: f64 = 0.01;

/// Counts the scenarios, prints a table, and compares with the limits or replaces them.
///
/// # Errors
///
/// Fails if a count exceeds its limit, if a scenario has no limit, and if a limit has no scenario. Replacing the limits fails only
/// if a scenario allocates.
pub(crate) fn check(
    bench: &'static str,
    scenarios: &[Scenario],
    all: bool,
    bless: bool,
) -> Result<(), BoxError> {
    let mut limits = Limits::read()?;
    println!(
        "{:<22} {:>13} {:>8} {:>8} {:>10}",
        bench, "instructions", "limit", "", "allocs"
    );
    let mut complaints = Vec::new();
    for scenario in scenarios {
        let limit = limits.get(bench, scenario.name);
        let counted = lowest(scenario, limit, bless)?;
        println!(
            "  {:<20} {:>13.1} {:>8} {:>8} {:>10.4}",
            scenario.name,
            counted.instructions,
            limit.map_or_else(|| "none".to_owned(), |limit| format!("{limit:.1}")),
            limit.map_or_else(String::new, |limit| change(counted.instructions, limit)),
            counted.allocs,
        );
        if scenario.steady && counted.allocs > ALLOCS_MAX {
            complaints.push(format!(
                "{} allocates {:.3} times a message, and at most {ALLOCS_MAX} are allowed: find the allocation, its limit \
                 cannot be raised",
                scenario.name, counted.allocs,
            ));
        }
        if bless {
            limits.set(bench, scenario.name, counted.instructions);
        } else {
            complaints.extend(Verdict::of(limit, counted.instructions).complaint(scenario.name));
        }
    }
    if all {
        let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name).collect();
        if bless {
            limits.keep(bench, &names);
        }
        complaints.extend(limits.without_scenario(bench, &names));
    }
    println!();
    if bless {
        limits.write()?;
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(complaints.join(&format!("\n{bench}: ")).into())
    }
}

/// The cost of a message.
struct Counted {
    instructions: f64,
    allocs: f64,
}

/// Counts a scenario, again as long as it is above its limit, and returns the lowest count. For new limits, all counts are made.
fn lowest(scenario: &Scenario, limit: Option<f64>, bless: bool) -> Result<Counted, BoxError> {
    let mut lowest = count(scenario)?;
    for _ in 1..COUNTS_MAX {
        if !bless && Verdict::of(limit, lowest.instructions) == Verdict::Within {
            break;
        }
        let again = count(scenario)?;
        lowest = Counted {
            instructions: lowest.instructions.min(again.instructions),
            allocs: lowest.allocs.min(again.allocs),
        };
    }
    Ok(lowest)
}

fn count(scenario: &Scenario) -> Result<Counted, BoxError> {
    let short = scenario.full / SHORT_SHARE;
    let long = short * LONG_BY_SHORT;
    let (short_instructions, short_memory) = run(scenario, short)?;
    let (long_instructions, long_memory) = run(scenario, long)?;
    // Callgrind counts the warm-up of a run, too.
    let messages = (long + measure::warm_up(long)) - (short + measure::warm_up(short));
    let allocs = |memory: Memory, messages: u64| memory.allocs_per_message * messages as f64;
    Ok(Counted {
        instructions: (long_instructions as f64 - short_instructions as f64) / messages as f64,
        allocs: (allocs(long_memory, long) - allocs(short_memory, short)) / (long - short) as f64,
    })
}

/// Runs our program in a child process under callgrind. Returns its instructions and its memory.
fn run(scenario: &Scenario, messages: u64) -> Result<(u64, Memory), BoxError> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(memory::arguments(
            scenario.name,
            scenario.ours.name,
            messages,
        ))
        .output()
        .map_err(|error| format!("starting valgrind, which counts instructions: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("counting the instructions of {}: {text}", scenario.name).into());
    }
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .ok_or_else(|| format!("callgrind printed no count: {text}"))?;
    let instructions = collected.1.trim().parse()?;
    Ok((instructions, serde_json::from_slice(&output.stdout)?))
}

fn change(instructions: f64, limit: f64) -> String {
    format!("{:+.1} %", (instructions / limit - 1.0) * 100.0)
}
