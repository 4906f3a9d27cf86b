//! The command line.

use super::BoxError;

/// The usage text of a benchmark.
pub(crate) fn usage(command: &str) -> String {
    format!("Usage: {command} -- [OPTIONS]\n\n{OPTIONS}")
}

const OPTIONS: &str = "\
  --json             one JSON object a line on stdout, the table on stderr
  --quick            few messages and 1 round: shows that it works, not figures
  --scenario NAME    only this scenario; may be given several times
  --messages N       messages per round, in every scenario
  --rounds N         interleaved rounds per scenario (default 5)
  --help             this text";

/// The selected options.
pub(crate) struct Options {
    pub(crate) json: bool,
    quick: bool,
    messages: Option<u64>,
    pub(crate) rounds: usize,
    scenarios: Vec<String>,
}

impl Options {
    /// Whether the scenario is selected.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.scenarios.is_empty() || self.scenarios.iter().any(|name| name == scenario)
    }

    /// The number of messages of a round, given the scenario's own numbers.
    pub(crate) fn messages(&self, full: u64, quick: u64) -> u64 {
        self.messages
            .unwrap_or(if self.quick { quick } else { full })
    }
}

/// Returns `None` for `--help`.
pub(crate) fn parse(
    command: &str,
    known: &[&str],
    mut words: impl Iterator<Item = String>,
) -> Result<Option<Options>, BoxError> {
    let mut options = Options {
        json: false,
        quick: false,
        messages: None,
        rounds: 5,
        scenarios: Vec::new(),
    };
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value\n\n{}", usage(command)))
        };
        match word.as_str() {
            "--bench" => {} // cargo passes it to every benchmark
            "--help" => return Ok(None),
            "--json" => options.json = true,
            "--quick" => (options.quick, options.rounds) = (true, 1),
            "--messages" => options.messages = Some(value()?.parse::<u64>()?.max(1)),
            "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
            "--scenario" => options.scenarios.push(scenario(known, value()?)?),
            unknown => {
                return Err(format!("unknown argument `{unknown}`\n\n{}", usage(command)).into());
            }
        }
    }
    Ok(Some(options))
}

fn scenario(known: &[&str], name: String) -> Result<String, BoxError> {
    if known.contains(&name.as_str()) {
        return Ok(name);
    }
    Err(format!("no scenario `{name}`: there are {}", known.join(", ")).into())
}
