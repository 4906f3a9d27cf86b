//! `--filter`: a property of a dead letter, and a pattern.

use std::{fmt, str::FromStr};

use broadway::dead_letters::DeadLetterInfo;

/// A property of a dead letter that must match a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    property: Property,
    pattern: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Property {
    Class,
    Id,
    Origin,
    Pipeline,
    Reason,
    Stage,
}

const PROPERTIES: [(&str, Property); 6] = [
    ("class", Property::Class),
    ("id", Property::Id),
    ("origin", Property::Origin),
    ("pipeline", Property::Pipeline),
    ("reason", Property::Reason),
    ("stage", Property::Stage),
];

impl Filter {
    /// Whether the property of this dead letter matches. One that it does not have matches nothing but `*`.
    pub(crate) fn matches(&self, letter: &DeadLetterInfo) -> bool {
        let value = match self.property {
            Property::Class => letter.class.map(|class| class.name()),
            Property::Id => letter.id.as_deref(),
            Property::Origin => Some(&*letter.origin),
            Property::Pipeline => letter.pipeline.as_deref(),
            Property::Reason => Some(&*letter.reason),
            Property::Stage => letter.stage.as_deref(),
        };
        matches(&self.pattern, value.unwrap_or_default())
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pattern) = text.split_once('=').ok_or("is not NAME=PATTERN")?;
        let found = PROPERTIES.iter().find(|(known, _)| *known == name);
        let Some((_, property)) = found else {
            let known = PROPERTIES.map(|(name, _)| name).join(", ");
            return Err(format!("has the unknown name {name:?}: use one of {known}"));
        };
        Ok(Self {
            property: *property,
            pattern: pattern.to_owned(),
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}={}", self.property, self.pattern)
    }
}

/// Whether `text` is the pattern, in which each `*` stands for any text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut left) = text.strip_prefix(start) else {
        return false;
    };
    let mut pieces: Vec<_> = rest.split('*').collect();
    let end = pieces.pop().unwrap_or_default();
    for piece in pieces {
        // The first place leaves the most for the pieces that follow.
        let Some(at) = left.find(piece) else {
            return false;
        };
        left = &left[at + piece.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("orders*", "orders[3]@7"),
            ("*@7", "orders[3]@7"),
            ("o*[*]@*", "orders[3]@7"),
            ("a*a", "aa"),
            ("*aab*", "aaab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", "ab"),
            ("a*a", "a"),
            ("*b*c", "cb"),
            ("orders", "orders[3]"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = "colour=red".parse::<Filter>().expect_err("unknown");
        assert!(
            error.contains("colour") && error.contains("class, id"),
            "{error}"
        );
        assert!("class".parse::<Filter>().is_err());
    }
}
