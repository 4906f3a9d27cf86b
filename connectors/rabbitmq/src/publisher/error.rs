//! Errors of a publisher's channels.

use lapin::{
    Error, ErrorKind,
    protocol::{AMQPErrorKind, AMQPHardError},
};

use crate::error::ACCESS_REFUSED;

/// Whether the broker closed a channel, and not the connection: it objects to something that was sent on that channel.
pub(super) fn is_channel_error(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(reply) if matches!(reply.kind(), AMQPErrorKind::Soft(_)))
}

/// Whether the broker closed the connection because a frame arrived on a channel that it had closed. That is a race: the broker closes a
/// channel over one message, and frames of the messages behind it are on their way.
pub(super) fn is_late_frame(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(reply) if matches!(reply.kind(), AMQPErrorKind::Hard(AMQPHardError::CHANNELERROR)))
}

/// Whether the client did not send, since the channel was closed or closing. The answers to earlier messages have the cause.
pub(super) fn is_not_sent(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidChannelState(_, "basic.publish")
    )
}

/// Whether the broker closed the whole connection.
pub(super) fn closes_connection(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(reply) if matches!(reply.kind(), AMQPErrorKind::Hard(_)))
}

/// Why a channel or its connection ended, with what to do.
pub(super) fn explain(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(reply) if reply.get_id() == ACCESS_REFUSED => format!(
            "the broker closed the channel: {}; grant the user the permission `write` for the exchange",
            reply.get_message()
        ),
        ErrorKind::ProtocolError(reply) if is_channel_error(error) => {
            format!("the broker closed the channel: {}", reply.get_message())
        }
        ErrorKind::ProtocolError(reply) => {
            format!("the broker closed the connection: {}", reply.get_message())
        }
        _ => format!("the connection was lost: {error}"),
    }
}
