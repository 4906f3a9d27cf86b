//! Errors of a publisher's channels.

use lapin::{Error, ErrorKind, protocol::AMQPErrorKind};

use crate::error::ACCESS_REFUSED;

/// Whether the broker closed a channel, and not the connection: it objects to something that was sent on that channel.
pub(super) fn is_channel_error(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(reply) if matches!(reply.kind(), AMQPErrorKind::Soft(_)))
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
