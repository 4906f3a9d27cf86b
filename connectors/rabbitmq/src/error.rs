//! What errors of the client mean: passing trouble, or something that only a person can mend.

use std::time::Duration;

use broadway_core::BoxError;
use lapin::{Error, ErrorKind};

/// Also the answer to a wrong user or password.
pub(crate) const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
pub(crate) const RESOURCE_LOCKED: u16 = 405;
pub(crate) const PRECONDITION_FAILED: u16 = 406;
/// Also the answer to a vhost that is missing or forbidden.
pub(crate) const NOT_ALLOWED: u16 = 530;
const NOT_IMPLEMENTED: u16 = 540;

/// An error, judged.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A later attempt may work.
    Passing(BoxError),
    /// The broker does not let us in, as who we are or where we want to. That is for a person to mend, but a broker that is starting up
    /// may say so too, and a vhost that is down, and a user who has all the connections allowed.
    Refused(BoxError),
    /// The same will be refused again.
    Lasting(BoxError),
}

impl Trouble {
    pub(crate) fn into_error(self) -> BoxError {
        match self {
            Self::Passing(error) | Self::Refused(error) | Self::Lasting(error) => error,
        }
    }
}

/// The code of the broker's refusal, if it is one.
pub(crate) fn code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(said) => Some(said.get_id()),
        _ => None,
    }
}

/// Whether a later attempt would be refused again.
pub(crate) fn is_lasting(error: &Error) -> bool {
    let words = words(error);
    match code(error) {
        // The node that has the queue is away.
        Some(NOT_FOUND) => !words.contains("down or inaccessible"),
        // Perhaps by a connection of ours that the broker does not know to be dead yet.
        Some(ACCESS_REFUSED) => !words.contains("in exclusive use"),
        Some(RESOURCE_LOCKED) => false,
        Some(PRECONDITION_FAILED | NOT_ALLOWED | NOT_IMPLEMENTED) => true,
        _ => false,
    }
}

/// Whether the broker has closed the channel over a message that was unsettled for longer than it allows; with how long that is, if it
/// says so.
pub(crate) fn consumer_timeout(error: &Error) -> Option<Option<Duration>> {
    let said = words(error);
    if code(error) != Some(PRECONDITION_FAILED) || !said.contains("timed out") {
        return None;
    }
    let value = said.split_once("imeout value used: ");
    let digits = value.and_then(|(_, rest)| rest.split_once(" ms"));
    let limit = digits.and_then(|(digits, _)| digits.parse().ok());
    Some(limit.map(Duration::from_millis))
}

/// What the broker said, or what went wrong on the way there.
pub(crate) fn words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(said) => said.get_message().to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;

    fn error(kind: AMQPSoftError, words: &str) -> Error {
        let error = AMQPError::new(AMQPErrorKind::Soft(kind), words.into());
        ErrorKind::ProtocolError(error).into()
    }

    #[test]
    fn a_queue_that_is_gone_is_lasting_and_one_that_is_away_is_not() {
        let gone = error(
            AMQPSoftError::NOTFOUND,
            "NOT_FOUND - no queue 'orders' in vhost '/'",
        );
        assert!(is_lasting(&gone));
        let away = error(
            AMQPSoftError::NOTFOUND,
            "NOT_FOUND - home node 'x' of durable queue 'orders' is down or inaccessible",
        );
        assert!(!is_lasting(&away));
    }

    #[test]
    fn somebody_else_s_lock_passes() {
        let used = error(
            AMQPSoftError::ACCESSREFUSED,
            "ACCESS_REFUSED - queue 'orders' in vhost '/' in exclusive use",
        );
        assert!(!is_lasting(&used));
        assert!(!is_lasting(&error(AMQPSoftError::RESOURCELOCKED, "")));
        assert!(is_lasting(&error(AMQPSoftError::ACCESSREFUSED, "")));
    }

    #[test]
    fn the_broker_s_patience_is_read_from_its_words() {
        let kind = AMQPSoftError::PRECONDITIONFAILED;
        let late = |words| consumer_timeout(&error(kind.clone(), words));
        let words = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out";
        assert_eq!(late(words), Some(None));
        let told =
            format!("{words}. Timeout value used: 10000 ms. This timeout value can be configured");
        assert_eq!(late(&told), Some(Some(Duration::from_secs(10))));
        assert_eq!(late("PRECONDITION_FAILED - unknown delivery tag 7"), None);
    }
}
