//! The command line.

use super::{BoxError, SCENARIOS};

pub(crate) const USAGE: &str = "\
Usage: cargo bench --features kafka --bench kafka -- [OPTIONS]

  --json             one JSON object a line on stdout, the table on stderr
  --quick            200,000 messages and 1 round: shows that it works, not figures
  --scenario NAME    only this scenario
  --rounds N         interleaved rounds per scenario (default 5)
  --help             this text";

/// What to run.
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) messages: u64,
    pub(crate) rounds: usize,
    pub(crate) scenario: Option<String>,
}

/// `None`: help was asked for.
pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, BoxError> {
    let mut options = Options {
        json: false,
        messages: 2_000_000,
        rounds: 5,
        scenario: None,
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value\n\n{USAGE}"))
        };
        match word.as_str() {
            "--bench" => {} // cargo passes it to every benchmark
            "--help" => return Ok(None),
            "--json" => options.json = true,
            "--quick" => (options.messages, options.rounds) = (200_000, 1),
            "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
            "--scenario" => options.scenario = Some(known(value()?)?),
            unknown => return Err(format!("unknown argument `{unknown}`\n\n{USAGE}").into()),
        }
    }
    Ok(Some(options))
}

fn known(name: String) -> Result<String, BoxError> {
    let names: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    if names.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("no scenario `{name}`: there are {}", names.join(", ")).into())
}
