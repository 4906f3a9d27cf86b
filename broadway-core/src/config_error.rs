//! The invalid options of a connector, as one error.

use std::{error::Error, fmt, ops::RangeInclusive, time::Duration};

use crate::error::Problem;

/// The invalid options of a source or a publisher: all of them, each with its valid values.
///
/// A source returns them from [`Source::check`](crate::Source::check), too, so that
/// [`StartError::Invalid`](crate::StartError::Invalid) lists them together with the pipeline's.
#[derive(Clone)]
pub struct ConfigError {
    what: &'static str,
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Fails if there are problems, for connectors. `what` names the owner of the options, such as "the Kafka source".
    ///
    /// # Errors
    ///
    /// Fails if `problems` is not empty.
    pub fn check(what: &'static str, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self { what, problems })
    }

    /// Returns the problem of each option.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has invalid options:", self.what)?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl Error for ConfigError {}

/// Collects invalid options, each with its value and the valid ones. Pipelines and connectors check their options with it.
///
/// ```
/// use std::time::Duration;
/// use broadway_core::Checks;
///
/// let mut checks = Checks::default();
/// checks.within("in_flight_max", 0, 1..=1_000);
/// checks.above_zero("close_timeout", Duration::from_secs(10));
/// let problems = checks.into_problems();
/// assert_eq!(problems[0].to_string(), "in_flight_max: is 0, but must be between 1 and 1000");
/// assert_eq!(problems.len(), 1);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    /// Adds a problem with `option`. `message` names the value and the valid ones.
    pub fn add(&mut self, option: impl Into<String>, message: impl fmt::Display) {
        self.problems
            .push(Problem::new(option, message.to_string()));
    }

    /// Adds a problem unless `is_so`, and formats `message` only then.
    pub fn require(&mut self, is_so: bool, option: impl Into<String>, message: impl fmt::Display) {
        if !is_so {
            self.add(option, message);
        }
    }

    /// Requires a number within a range.
    pub fn within(
        &mut self,
        option: impl Into<String>,
        given: usize,
        range: RangeInclusive<usize>,
    ) {
        if range.contains(&given) {
            return;
        }
        let least = range.start();
        match *range.end() {
            usize::MAX => self.add(
                option,
                format_args!("is {given}, but must be at least {least}"),
            ),
            most => self.add(
                option,
                format_args!("is {given}, but must be between {least} and {most}"),
            ),
        }
    }

    /// Requires a duration above zero.
    pub fn above_zero(&mut self, option: impl Into<String>, given: Duration) {
        self.require(!given.is_zero(), option, "must be greater than zero");
    }

    /// Requires a timeout of at least a millisecond. [`Duration::MAX`] stands for no limit.
    pub fn timeout(&mut self, option: impl Into<String>, given: Duration) {
        self.require(
            given >= Duration::from_millis(1),
            option,
            format_args!("is {given:?}; give at least 1 ms, or `Duration::MAX` for no limit"),
        );
    }

    /// Requires a duration within a range.
    pub fn duration_within(
        &mut self,
        option: impl Into<String>,
        given: Duration,
        range: RangeInclusive<Duration>,
    ) {
        let (least, most) = (range.start(), range.end());
        self.require(
            range.contains(&given),
            option,
            format_args!("is {given:?}, but must be between {least:?} and {most:?}"),
        );
    }

    /// Returns the problems.
    #[must_use]
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

impl Extend<Problem> for Checks {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.problems.extend(problems);
    }
}
