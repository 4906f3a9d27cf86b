//! Measures the memory of one program, in a separate process.
//!
//! The benchmark starts its own binary again with a hidden argument; the child warms up, runs the
//! program once on the usual two worker threads and prints one line of JSON. Allocations are
//! counted over that second run on all threads, including each program's start and end. The peak
//! of resident memory is `VmHWM`, not `ru_maxrss`: the latter survives `exec`, so a child would
//! report the peak of the parent. Where there is no `/proc` the peak is left out.

use std::process::Command;

use serde::{Deserialize, Serialize};

use super::args::{MEMORY_OF, MemoryRequest};
use super::scenario::Scenario;
use super::{BoxError, measure};

/// The memory use of one program.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Memory {
    pub(crate) allocs_per_message: f64,
    pub(crate) peak_rss_kib: Option<u64>,
}

/// Starts a child process that measures one program, and waits for its result.
///
/// # Errors
///
/// Fails if the child process cannot be started, fails, or prints an unexpected result.
pub(crate) fn ask(scenario: &str, program: &str, messages: u64) -> Result<Memory, BoxError> {
    let child = Command::new(std::env::current_exe()?)
        .args(arguments(scenario, program, messages))
        .output()?;
    if !child.status.success() {
        let output = String::from_utf8_lossy(&child.stderr);
        return Err(format!("measuring the memory of {scenario} {program}: {output}").into());
    }
    Ok(serde_json::from_slice(&child.stdout)?)
}

/// The arguments of the child process.
pub(crate) fn arguments(scenario: &str, program: &str, messages: u64) -> [String; 4] {
    [MEMORY_OF, scenario, program, &messages.to_string()].map(str::to_owned)
}

/// The child process: measures the requested program and prints the result.
///
/// # Errors
///
/// Fails if the program is unknown or miscounts.
pub(crate) fn answer(request: &MemoryRequest, scenarios: &[Scenario]) -> Result<(), BoxError> {
    let (scenario, program) = scenarios
        .iter()
        .filter(|scenario| scenario.name == request.scenario)
        .flat_map(|scenario| {
            scenario
                .programs()
                .map(move |(_, program)| (scenario, program))
        })
        .find(|(_, program)| program.name == request.program)
        .ok_or_else(|| format!("no program `{}` in `{}`", request.program, request.scenario))?;

    let runtime = measure::runtime()?;
    measure::run(
        &runtime,
        scenario,
        program,
        measure::warm_up(request.messages),
    )?;

    let session = alloc_tracker::Session::new().no_stdout().no_file();
    let operation = session.operation(program.name);
    let span = operation.measure_process();
    measure::run(&runtime, scenario, program, request.messages)?;
    drop(span.iterations(1));

    let report = session.to_report();
    let allocations: u64 = report
        .operations()
        .map(|(_, operation)| operation.total_allocations_count())
        .sum();
    let memory = Memory {
        allocs_per_message: allocations as f64 / request.messages as f64,
        peak_rss_kib: peak_rss_kib(),
    };
    println!("{}", serde_json::to_string(&memory)?);
    Ok(())
}

/// The peak of resident memory of this process, where there is a `/proc`.
pub(crate) fn peak_rss_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
