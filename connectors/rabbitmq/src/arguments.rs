//! Arguments of queues and consumers, by name.

use lapin::types::{AMQPValue, FieldTable};

use crate::names::name_too_long;

/// How many characters of a name that is too long its problem shows.
const SHOWN_CHARS: usize = 40;

/// The value of an argument of a queue or a consumer. Converts from a `bool`, an integer or a string.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument(pub(crate) AMQPValue);

impl From<bool> for Argument {
    fn from(value: bool) -> Self {
        Self(AMQPValue::Boolean(value))
    }
}

impl From<i64> for Argument {
    fn from(value: i64) -> Self {
        Self(AMQPValue::LongLongInt(value))
    }
}

impl From<i32> for Argument {
    fn from(value: i32) -> Self {
        Self(AMQPValue::LongLongInt(i64::from(value)))
    }
}

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self(AMQPValue::LongLongInt(i64::from(value)))
    }
}

impl From<&str> for Argument {
    fn from(value: &str) -> Self {
        Self(AMQPValue::LongString(value.into()))
    }
}

impl From<String> for Argument {
    fn from(value: String) -> Self {
        Self(AMQPValue::LongString(value.into()))
    }
}

/// Arguments by name. Names that AMQP cannot carry are kept as problems, and reported together with the problems of other options.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    table: FieldTable,
    problems: Vec<String>,
}

impl Arguments {
    pub(crate) fn insert(&mut self, name: &str, value: Argument) {
        match name_too_long(name) {
            None => {
                self.table.insert(name.into(), value.0);
            }
            Some(problem) => {
                let shown: String = name.chars().take(SHOWN_CHARS).collect();
                let problem = format!("has the argument \"{shown}…\", whose name {problem}");
                self.problems.push(problem);
            }
        }
    }

    pub(crate) fn table(&self) -> &FieldTable {
        &self.table
    }

    /// The value of an argument that is an integer.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        match self.table.inner().get(name)? {
            AMQPValue::LongLongInt(value) => Some(*value),
            _ => None,
        }
    }

    /// The problems, as continuations of a sentence about the option with these arguments.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_with_too_long_a_name_is_a_problem_and_the_others_are_kept() {
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
