//! The main program of benchmarks that compare programs.

use std::process::ExitCode;

use super::args::{self, Action, Options};
use super::scenario::Scenario;
use super::{BoxError, instructions, measure, memory, report};

/// Runs the benchmark of this name and returns its exit code.
pub(crate) fn main(bench: &'static str, scenarios: fn() -> Vec<Scenario>) -> ExitCode {
    if cfg!(debug_assertions) {
        eprintln!("{bench}: built without optimisation, nothing measured; use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    match args::parse(bench, std::env::args().skip(1))
        .and_then(|action| act(bench, scenarios(), action))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{bench}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(bench: &'static str, all: Vec<Scenario>, action: Action) -> Result<(), BoxError> {
    match action {
        Action::Help => println!("{}", args::usage(bench)),
        Action::Compare(options) => compare(bench, all, &options)?,
        Action::MeasureMemory(request) => memory::answer(&request, &all)?,
        Action::CountInstructions { scenario, bless } => {
            let mut chosen = chosen(all, scenario.as_deref())?;
            chosen.retain(|scenario| scenario.counted);
            instructions::check(bench, &chosen, scenario.is_none(), bless)?;
        }
    }
    Ok(())
}

/// Runs the selected scenarios, and reports each when it is measured.
fn compare(bench: &'static str, all: Vec<Scenario>, options: &Options) -> Result<(), BoxError> {
    let scenarios = chosen(all, options.scenario.as_deref())?;
    let mut report = report::Report::begin(bench, options.output, options.rounds)?;
    for scenario in scenarios {
        let messages = options
            .messages
            .unwrap_or_else(|| scenario.messages(options.quick));
        let mut figures = measure::interleaved(&scenario, messages, options.rounds)?;
        for figure in &mut figures {
            figure.memory = Some(memory::ask(scenario.name, figure.program, messages)?);
        }
        report.scenario(&scenario, messages, &figures)?;
    }
    Ok(())
}

fn chosen(all: Vec<Scenario>, name: Option<&str>) -> Result<Vec<Scenario>, BoxError> {
    let Some(name) = name else {
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
