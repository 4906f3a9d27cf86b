//! Options of a connector that cannot work, as one error.

use std::{error::Error, fmt};

use crate::error::Problem;

/// Options of a source or a publisher that cannot work: all of them, each with what would.
///
/// A source tells them by [`Source::check`](crate::Source::check) too, so that
/// [`StartError::Invalid`](crate::StartError::Invalid) lists them together with those of the pipeline.
#[derive(Debug, Clone)]
pub struct ConfigError {
    what: &'static str,
    problems: Vec<Problem>,
}

impl ConfigError {
    /// For connectors: `Err` with the problems, if there are any. `what` names whose they are, as in "the Kafka source".
    ///
    /// # Errors
    ///
    /// When there is a problem.
    pub fn check(what: &'static str, problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self { what, problems })
    }

    /// Each option and what is wrong with it.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has options that cannot work:", self.what)?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

impl Error for ConfigError {}
