//! The command line of a benchmark. Unknown arguments are errors.

use super::BoxError;

/// The usage text of a benchmark.
pub(crate) fn usage(bench: &str) -> String {
    format!("Usage: cargo bench --bench {bench} -- [OPTIONS]\n\n{OPTIONS}")
}

const OPTIONS: &str = "\
  --json             one JSON object a line on stdout, the table on stderr
  --quick            a tenth of the messages and 3 rounds: shows direction, not figures
  --scenario NAME    only this scenario
  --rounds N         interleaved rounds per scenario (default 5, with --quick 3)
  --help             this text";

/// Measures the memory of one program. Passed by the parent process only.
pub(crate) const MEMORY_OF: &str = "--memory-of";

/// The action that the command line selects.
pub(crate) enum Action {
    Help,
    Compare(Options),
    MeasureMemory(MemoryRequest),
}

/// The options of a comparison.
pub(crate) struct Options {
    pub(crate) json: bool,
    pub(crate) quick: bool,
    pub(crate) scenario: Option<String>,
    pub(crate) rounds: usize,
}

/// The program that a child process runs.
pub(crate) struct MemoryRequest {
    pub(crate) scenario: String,
    pub(crate) program: String,
    pub(crate) messages: u64,
}

/// Reads the arguments after the program's name.
///
/// # Errors
///
/// Fails for an unknown argument, a missing value, and a number that is zero or malformed.
pub(crate) fn parse(
    bench: &str,
    mut words: impl Iterator<Item = String>,
) -> Result<Action, BoxError> {
    let (mut json, mut quick, mut scenario, mut rounds) = (false, false, None, None);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value\n\n{}", usage(bench)))
        };
        match word.as_str() {
            "--bench" => {} // cargo passes it to every benchmark
            "--json" => json = true,
            "--quick" => quick = true,
            "--scenario" => scenario = Some(value()?),
            "--rounds" => rounds = Some(positive("--rounds", &value()?)?),
            "--help" | "-h" => return Ok(Action::Help),
            MEMORY_OF => {
                return Ok(Action::MeasureMemory(MemoryRequest {
                    scenario: value()?,
                    program: value()?,
                    messages: positive(MEMORY_OF, &value()?)?,
                }));
            }
            unknown => {
                return Err(format!("unknown argument `{unknown}`\n\n{}", usage(bench)).into());
            }
        }
    }
    let rounds = rounds.unwrap_or(if quick { 3 } else { 5 });
    let rounds = usize::try_from(rounds)?;
    Ok(Action::Compare(Options {
        json,
        quick,
        scenario,
        rounds,
    }))
}

fn positive(name: &str, text: &str) -> Result<u64, BoxError> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{name}` takes a whole number above zero, not `{text}`").into()),
    }
}
