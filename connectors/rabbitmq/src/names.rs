//! Names as AMQP carries them, in 255 bytes, and arguments that have such names.

use lapin::types::ShortString;

/// The longest name that AMQP can carry.
const NAME_BYTES_MAX: usize = 255;

/// What is wrong with a name that is too long, to be said of it.
pub(crate) fn longer_than_amqp_carries(name: &str) -> Option<String> {
    let bytes = name.len();
    (bytes > NAME_BYTES_MAX).then(|| {
        format!(
            "is {bytes} bytes long; AMQP carries {NAME_BYTES_MAX} at most, so give a shorter one"
        )
    })
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
}
