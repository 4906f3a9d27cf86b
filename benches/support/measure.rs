//! Measures time per message, with programs in turn.
//!
//! One runtime with two worker threads runs all programs of a scenario; building it is not timed.
//! Programs are spawned onto a worker, so the waiting thread adds no cost. CPU time is the user and
//! system time of this process, from `getrusage`. Other load on the machine hardly changes it, but
//! does change wall time.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use tokio::runtime::Runtime;

use super::BoxError;
use super::memory::Memory;
use super::scenario::{Program, Role, Scenario};
use super::workload::Tally;

#[cfg(not(unix))]
compile_error!("the benchmarks read CPU time from getrusage, which only Unix has");

const WORKER_THREADS: usize = 2;

/// The share of a run that each program does once, unmeasured, before the first round.
const WARM_UP_SHARE: u64 = 10;

/// The cost of one program of a scenario, per message.
pub(crate) struct Figure {
    pub(crate) role: Role,
    pub(crate) program: &'static str,
    pub(crate) cpu_ns: Rounds,
    pub(crate) wall_ns: Rounds,
    pub(crate) memory: Option<Memory>,
}

/// A figure of each round, in the order of the rounds.
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// The middle value, or the mean of the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut values = self.0.clone();
        values.sort_by(f64::total_cmp);
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        f64::midpoint(lower, upper)
    }

    /// The lowest and the highest value.
    pub(crate) fn range(&self) -> (f64, f64) {
        let low = self.0.iter().copied().reduce(f64::min);
        let high = self.0.iter().copied().reduce(f64::max);
        low.zip(high).expect("there is at least one round")
    }

    /// This figure over the other one, round by round: programs of one round run under the same load.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(this, other)| this / other)
                .collect(),
        )
    }
}

/// Runs every program once per round, in turn, and returns the figures of all rounds.
///
/// # Errors
///
/// Fails if a program lost, repeated or miscounted a message, since the time of a wrong program is meaningless.
pub(crate) fn interleaved(
    scenario: &Scenario,
    messages: u64,
    rounds: usize,
) -> Result<Vec<Figure>, BoxError> {
    let runtime = runtime()?;
    for (_, program) in scenario.programs() {
        run(&runtime, scenario, program, warm_up(messages))?;
    }
    let mut costs: Vec<Vec<Cost>> = scenario.programs().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, program), costs) in scenario.programs().zip(&mut costs) {
            costs.push(run(&runtime, scenario, program, messages)?);
        }
    }
    let figures = scenario
        .programs()
        .zip(costs)
        .map(|((role, program), costs)| {
            let rounds = |time: fn(&Cost) -> Duration| {
                Rounds(
                    costs
                        .iter()
                        .map(|cost| per_message(time(cost), messages))
                        .collect(),
                )
            };
            Figure {
                role,
                program: program.name,
                cpu_ns: rounds(|cost| cost.cpu),
                wall_ns: rounds(|cost| cost.wall),
                memory: None,
            }
        });
    Ok(figures.collect())
}

/// The runtime of all measured programs.
pub(crate) fn runtime() -> Result<Runtime, BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .enable_time()
        .build()?;
    Ok(runtime)
}

/// The number of messages that warm up caches, the allocator and the runtime.
pub(crate) fn warm_up(messages: u64) -> u64 {
    messages.div_ceil(WARM_UP_SHARE)
}

/// The time of one run.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    cpu: Duration,
    wall: Duration,
}

/// Runs one program over the messages and checks its tally.
///
/// # Errors
///
/// Fails if the program panicked, or if its tally shows that a message was not settled exactly once.
pub(crate) fn run(
    runtime: &Runtime,
    scenario: &Scenario,
    program: Program,
    messages: u64,
) -> Result<Cost, BoxError> {
    let cpu_before = cpu_time()?;
    let begun = Instant::now();
    let tally = runtime.block_on(async move { tokio::spawn((program.run)(messages)).await })?;
    let wall = begun.elapsed();
    let cpu = cpu_time()?.saturating_sub(cpu_before);

    let expected = Tally {
        settled: messages,
        checksum: (scenario.checksum)(messages),
    };
    if tally != expected {
        let (scenario, program) = (scenario.name, program.name);
        return Err(format!("{scenario}: {program} ended with {tally:?}, not {expected:?}").into());
    }
    Ok(Cost { cpu, wall })
}

/// The user and system time of this process so far.
///
/// # Errors
///
/// Fails if the system does not report it.
pub(crate) fn cpu_time() -> Result<Duration, BoxError> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    Ok(duration(usage.user_time())? + duration(usage.system_time())?)
}

fn duration(time: TimeVal) -> Result<Duration, BoxError> {
    let seconds = u64::try_from(time.tv_sec())?;
    let micros = u64::try_from(time.tv_usec())?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

fn per_message(time: Duration, messages: u64) -> f64 {
    time.as_secs_f64() * 1e9 / messages as f64
}
