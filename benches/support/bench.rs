//! The main program of benchmarks that compare programs.

use std::process::ExitCode;

use super::args::{self, Action, Options};
use super::scenario::Scenario;
use super::{BoxError, measure, memory, report};

/// Runs the benchmark of this name and returns its exit code.
pub(crate) fn main(bench: &'static str, scenarios: fn() -> Vec<Scenario>) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("{bench}: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    let outcome = match args::parse(bench, std::env::args().skip(1)) {
        Ok(Action::Help) => {
            println!("{}", args::usage(bench));
            Ok(())
        }
        Ok(Action::Compare(options)) => compare(bench, scenarios(), &options),
        Ok(Action::MeasureMemory(request)) => memory::answer(&request, &scenarios()),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{bench}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the selected scenarios, and reports each when it is measured.
fn compare(bench: &'static str, all: Vec<Scenario>, options: &Options) -> Result<(), BoxError> {
    let scenarios = chosen(all, options)?;
    let mut report = report::Report::begin(bench, options.json, options.rounds)?;
    for scenario in scenarios {
        let messages = scenario.messages(options.quick);
        let mut figures = measure::interleaved(&scenario, messages, options.rounds)?;
        for figure in &mut figures {
            figure.memory = Some(memory::ask(scenario.name, figure.program, messages)?);
        }
        report.scenario(&scenario, messages, &figures)?;
    }
    Ok(())
}

fn chosen(all: Vec<Scenario>, options: &Options) -> Result<Vec<Scenario>, BoxError> {
    let Some(name) = &options.scenario else {
        return Ok(all);
    };
    let names: Vec<&str> = all.iter().map(|scenario| scenario.name).collect();
    let unknown = format!("no scenario named `{name}`; there are {}", names.join(", "));
    let found: Vec<Scenario> = all
        .into_iter()
        .filter(|scenario| scenario.name == name)
        .collect();
    if found.is_empty() {
        Err(unknown.into())
    } else {
        Ok(found)
    }
}
