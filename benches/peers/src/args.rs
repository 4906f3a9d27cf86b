//! The command line. Unknown arguments are errors.

use crate::BoxError;
use crate::child::{CHILD, Request};
use crate::scenarios::{SCENARIOS, Scenario};

/// The action that the command line selects.
pub(crate) enum Action {
    Help,
    Compare(Options),
    /// This is a process of one program.
    Child(Request),
}

/// The selected options.
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) rounds: usize,
    quick: bool,
    messages: Option<u64>,
    scenarios: Vec<String>,
    programs: Vec<String>,
}

/// The usage text.
pub(crate) fn usage() -> String {
    let mut text = format!("{USAGE}\n\nScenarios and their programs:\n");
    for scenario in &SCENARIOS {
        let programs: Vec<&str> = scenario
            .programs
            .iter()
            .map(|program| program.name)
            .collect();
        text += &format!("  {:<16} {}\n", scenario.name, programs.join(", "));
    }
    text
}

const USAGE: &str = "\
Usage: cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]

  --json             one JSON object a line on stdout, the table on stderr
  --quick            few messages and 1 round: shows that it works, not figures
  --scenario NAME    only this scenario; may be given several times
  --program NAME     only this program; may be given several times
  --messages N       messages per round, in every scenario
  --rounds N         interleaved rounds per scenario (default 5)
  --help             this text";

impl Options {
    /// Whether the scenario is selected and has a selected program.
    pub(crate) fn wants(&self, scenario: &Scenario) -> bool {
        let is_named =
            self.scenarios.is_empty() || self.scenarios.iter().any(|name| name == scenario.name);
        is_named
            && scenario
                .programs
                .iter()
                .any(|program| self.wants_program(program.name))
    }

    /// Whether the program is selected.
    pub(crate) fn wants_program(&self, program: &str) -> bool {
        self.programs.is_empty() || self.programs.iter().any(|name| name == program)
    }

    /// The number of messages of a round.
    pub(crate) fn messages(&self, scenario: &Scenario) -> u64 {
        let usual = if self.quick {
            scenario.messages / 10
        } else {
            scenario.messages
        };
        self.messages.unwrap_or(usual)
    }
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// Fails for an unknown argument, scenario or program, and for a missing or malformed value.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Action, BoxError> {
    let mut options = Options {
        json: false,
        rounds: 5,
        quick: false,
        messages: None,
        scenarios: Vec::new(),
        programs: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value\n\n{}", usage()))
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(Action::Help),
            CHILD => return Ok(Action::Child(serde_json::from_str(&value()?)?)),
            "--json" => options.json = true,
            "--quick" => (options.quick, options.rounds) = (true, 1),
            "--messages" => options.messages = Some(value()?.parse::<u64>()?.max(1)),
            "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
            "--scenario" => options.scenarios.push(value()?),
            "--program" => options.programs.push(value()?),
            unknown => return Err(format!("unknown argument `{unknown}`\n\n{}", usage()).into()),
        }
    }
    if !SCENARIOS.iter().any(|scenario| options.wants(scenario)) {
        return Err(format!("no such scenario and program\n\n{}", usage()).into());
    }
    Ok(Action::Compare(options))
}
