//! Errors of the client and of the broker: their kind, their text, and the details that only the broker's text contains.
//!
//! The broker closes a channel or a connection with a reply code and a text. Some codes have more than one meaning, which only
//! the text distinguishes. This is the only file that interprets such texts.

use std::time::Duration;

use broadway_core::connector::ConnectorErrorKind;
use lapin::{Error, ErrorKind};

/// Also the reply to a wrong user or password.
pub(crate) const ACCESS_REFUSED: u16 = 403;
pub(crate) const NOT_FOUND: u16 = 404;
pub(crate) const RESOURCE_LOCKED: u16 = 405;
pub(crate) const PRECONDITION_FAILED: u16 = 406;
/// Also the reply to a vhost that does not exist or that the user may not access.
pub(crate) const NOT_ALLOWED: u16 = 530;
const NOT_IMPLEMENTED: u16 = 540;

/// The reply code with which the broker closed the channel or the connection; `None` for other errors.
pub(crate) fn reply_code(error: &Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => Some(reply.get_id()),
        _ => None,
    }
}

/// The broker's reply text, or the client's error.
pub(crate) fn reply_text(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(reply) => reply.get_message().to_string(),
        _ => error.to_string(),
    }
}

/// The kind of an error of an operation on a channel.
pub(crate) fn kind_of(error: &Error) -> ConnectorErrorKind {
    let text = reply_text(error);
    match reply_code(error) {
        // The node that hosts the queue is down; the queue still exists.
        Some(NOT_FOUND) if text.contains("down or inaccessible") => ConnectorErrorKind::Transient,
        // The exclusive consumer may be our own: the broker has not yet noticed that the earlier connection is dead.
        Some(ACCESS_REFUSED) if text.contains("in exclusive use") => ConnectorErrorKind::Transient,
        Some(ACCESS_REFUSED) => ConnectorErrorKind::Auth,
        Some(NOT_FOUND | PRECONDITION_FAILED | NOT_ALLOWED | NOT_IMPLEMENTED) => {
            ConnectorErrorKind::Permanent
        }
        _ => ConnectorErrorKind::Transient,
    }
}

/// Whether the broker closed the channel because a message was unsettled for longer than its `consumer_timeout`. The inner value is
/// that timeout, if the broker's text contains it.
pub(crate) fn consumer_timeout(error: &Error) -> Option<Option<Duration>> {
    let text = reply_text(error);
    // The same reply code stands for a delivery tag that the broker does not know.
    if reply_code(error) != Some(PRECONDITION_FAILED) || !text.contains("timed out") {
        return None;
    }
    let value = text.split_once("imeout value used: ");
    let digits = value.and_then(|(_, rest)| rest.split_once(" ms"));
    let limit = digits.and_then(|(digits, _)| digits.parse().ok());
    Some(limit.map(Duration::from_millis))
}

#[cfg(test)]
mod tests {
    use lapin::protocol::{AMQPError, AMQPErrorKind, AMQPSoftError};

    use super::*;

    fn error(kind: AMQPSoftError, text: &str) -> Error {
        let error = AMQPError::new(AMQPErrorKind::Soft(kind), text.into());
        ErrorKind::ProtocolError(error).into()
    }

    #[test]
    fn a_missing_queue_is_permanent_and_one_on_a_node_that_is_down_is_not() {
        let missing = error(
            AMQPSoftError::NOTFOUND,
            "NOT_FOUND - no queue 'orders' in vhost '/'",
        );
        assert_eq!(kind_of(&missing), ConnectorErrorKind::Permanent);
        let down = error(
            AMQPSoftError::NOTFOUND,
            "NOT_FOUND - home node 'x' of durable queue 'orders' is down or inaccessible",
        );
        assert_eq!(kind_of(&down), ConnectorErrorKind::Transient);
    }

    #[test]
    fn another_consumer_s_lock_is_transient_and_a_missing_permission_is_not() {
        let used = error(
            AMQPSoftError::ACCESSREFUSED,
            "ACCESS_REFUSED - queue 'orders' in vhost '/' in exclusive use",
        );
        assert_eq!(kind_of(&used), ConnectorErrorKind::Transient);
        let locked = error(AMQPSoftError::RESOURCELOCKED, "");
        assert_eq!(kind_of(&locked), ConnectorErrorKind::Transient);
        let forbidden = error(AMQPSoftError::ACCESSREFUSED, "");
        assert_eq!(kind_of(&forbidden), ConnectorErrorKind::Auth);
    }

    #[test]
    fn the_broker_s_consumer_timeout_is_read_from_its_text() {
        let kind = AMQPSoftError::PRECONDITIONFAILED;
        let timed_out = |text| consumer_timeout(&error(kind.clone(), text));
        let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out";
        assert_eq!(timed_out(text), Some(None));
        let with_value =
            format!("{text}. Timeout value used: 10000 ms. This timeout value can be configured");
        assert_eq!(timed_out(&with_value), Some(Some(Duration::from_secs(10))));
        let unknown_tag = "PRECONDITION_FAILED - unknown delivery tag 7";
        assert_eq!(timed_out(unknown_tag), None);
    }
}
