//! Names: AMQP carries at most 255 bytes.

use lapin::types::ShortString;

/// The longest name that AMQP can carry.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// The problem of a name that is too long, as the continuation of a sentence about it.
pub(crate) fn name_too_long(name: &str) -> Option<String> {
    let bytes = name.len();
    (bytes > NAME_BYTES_MAX).then(|| {
        format!(
            "is {bytes} bytes long; AMQP carries at most {NAME_BYTES_MAX}, so use a shorter one"
        )
    })
}

/// The name as AMQP carries it.
///
/// # Errors
///
/// Fails if the name is too long; `part` names it in the error.
pub(crate) fn short_name(part: &str, name: &str) -> Result<ShortString, String> {
    match name_too_long(name) {
        None => Ok(name.into()),
        Some(problem) => Err(format!("the name of the {part} {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_255_bytes_are_carried_and_the_length_of_longer_ones_is_reported() {
        assert_eq!(name_too_long(&"x".repeat(255)), None);
        // Bytes, not characters.
        let problem = name_too_long(&"é".repeat(128)).unwrap();
        assert!(
            problem.contains("256 bytes") && problem.contains("255"),
            "{problem}"
        );
        assert!(short_name("queue", &"x".repeat(255)).is_ok());
        assert!(short_name("queue", &"x".repeat(256)).is_err());
    }
}
