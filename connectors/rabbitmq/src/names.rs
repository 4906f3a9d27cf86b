//! Names as AMQP carries them, in 255 bytes, and arguments that have such names.

use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::declare::Argument;

/// The longest name that AMQP can carry.
const NAME_BYTES_MAX: usize = 255;
/// How much of a name that is too long is shown.
const SHOWN_CHARS: usize = 40;

/// What is wrong with a name that is too long, to be said of it.
pub(crate) fn longer_than_amqp_carries(name: &str) -> Option<String> {
    let bytes = name.len();
    (bytes > NAME_BYTES_MAX).then(|| {
        format!(
            "is {bytes} bytes long; AMQP carries {NAME_BYTES_MAX} at most, so give a shorter one"
        )
    })
}

/// Arguments by name. What cannot be one is remembered, so that it is told with all else that is wrong.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    table: FieldTable,
    problems: Vec<String>,
}

impl Arguments {
    pub(crate) fn insert(&mut self, name: &str, value: Argument) {
        match longer_than_amqp_carries(name) {
            None => {
                self.table.insert(name.into(), value.0);
            }
            Some(long) => {
                let shown: String = name.chars().take(SHOWN_CHARS).collect();
                let problem = format!("has the argument \"{shown}…\", whose name {long}");
                self.problems.push(problem);
            }
        }
    }

    pub(crate) fn table(&self) -> &FieldTable {
        &self.table
    }

    /// The number that this argument has.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.table.inner().get(name)? {
            AMQPValue::LongLongInt(value) => Some(*value),
            _ => None,
        }
    }

    /// What is wrong, to be said of the option that has them.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// As AMQP carries it.
///
/// # Errors
///
/// What is wrong with the name.
pub(crate) fn short(what: &str, name: &str) -> Result<ShortString, String> {
    match longer_than_amqp_carries(name) {
        None => Ok(name.into()),
        Some(long) => Err(format!("the name of the {what} {long}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_255_bytes_are_carried_and_longer_ones_are_told_with_their_length() {
        assert_eq!(longer_than_amqp_carries(&"x".repeat(255)), None);
        // Bytes, not characters.
        let long = longer_than_amqp_carries(&"é".repeat(128)).unwrap();
        assert!(long.contains("256 bytes") && long.contains("255"), "{long}");
        assert!(short("queue", &"x".repeat(255)).is_ok());
        assert!(short("queue", &"x".repeat(256)).is_err());
    }

    #[test]
    fn an_argument_with_too_long_a_name_is_told_and_the_others_are_kept() {
        let mut arguments = Arguments::default();
        arguments.insert("x-priority", 3.into());
        arguments.insert(&"x-é".repeat(100), true.into());
        assert_eq!(arguments.table().inner().len(), 1);
        let [problem] = arguments.problems() else {
            panic!("{arguments:?}");
        };
        assert!(
            problem.contains("400 bytes") && problem.len() < 200,
            "{problem}"
        );
    }
}
