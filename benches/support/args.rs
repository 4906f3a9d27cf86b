//! The command line of a benchmark. Unknown arguments are errors.

use super::BoxError;

/// The usage text of a benchmark.
pub(crate) fn usage(bench: &str) -> String {
    format!("Usage: cargo bench --bench {bench} -- [OPTIONS]\n\n{OPTIONS}")
}

const OPTIONS: &str = "\
  --json             one JSON object a line on stdout, the table on stderr
  --markdown         the rows of docs/benchmarks.md on stdout, the table on stderr
  --quick            a tenth of the messages and 3 rounds: shows direction, not figures
  --scenario NAME    only this scenario
  --messages N       messages per run, in every scenario
  --rounds N         interleaved rounds per scenario (default 5, with --quick 3)
  --instructions     counts our instructions per message with valgrind, and fails above the limits
                     in benches/instructions.json
  --bless            the same, and replaces the limits
  --help             this text";

/// Measures the memory of one program. Passed by the parent process only.
pub(crate) const MEMORY_OF: &str = "--memory-of";

/// The action that the command line selects.
pub(crate) enum Action {
    Help,
    Compare(Options),
    CountInstructions {
        scenario: Option<String>,
        bless: bool,
    },
    MeasureMemory(MemoryRequest),
}

/// The options of a comparison.
pub(crate) struct Options {
    pub(crate) output: Output,
    pub(crate) quick: bool,
    pub(crate) scenario: Option<String>,
    pub(crate) messages: Option<u64>,
    pub(crate) rounds: usize,
}

/// The form of the results on stdout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Table,
    Json,
    Markdown,
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
    let (mut output, mut quick, mut scenario) = (Output::Table, false, None);
    let (mut messages, mut rounds) = (None, None);
    let (mut instructions, mut bless) = (false, false);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("`{word}` needs a value\n\n{}", usage(bench)))
        };
        match word.as_str() {
            "--bench" => {} // cargo passes it to every benchmark
            "--json" => output = Output::Json,
            "--markdown" => output = Output::Markdown,
            "--quick" => quick = true,
            "--scenario" => scenario = Some(value()?),
            "--messages" => messages = Some(positive("--messages", &value()?)?),
            "--rounds" => rounds = Some(positive("--rounds", &value()?)?),
            "--instructions" => instructions = true,
            "--bless" => bless = true,
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
    if instructions || bless {
        return Ok(Action::CountInstructions { scenario, bless });
    }
    let rounds = rounds.unwrap_or(if quick { 3 } else { 5 });
    let rounds = usize::try_from(rounds)?;
    Ok(Action::Compare(Options {
        output,
        quick,
        scenario,
        messages,
        rounds,
    }))
}

fn positive(name: &str, text: &str) -> Result<u64, BoxError> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("`{name}` takes a whole number above zero, not `{text}`").into()),
    }
}
