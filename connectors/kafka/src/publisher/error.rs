//! Maps the client's errors to [`PublishError`]s: was the message rejected, or may it have arrived?

use std::time::Duration;

use broadway_core::PublishError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{error::permission_help, settings::ClientRole};

/// The reason why a message to `topic` was not confirmed. `last` is the client's last error.
pub(super) fn of_message(
    error: &KafkaError,
    topic: &str,
    confirm_timeout: Duration,
    last: Option<&str>,
) -> PublishError {
    let Some(code) = error.rdkafka_error_code() else {
        return PublishError::refused(format!("topic `{topic}`: {error}"));
    };
    match code {
        code if is_of_size(code) => PublishError::refused(format!(
            "too large for topic `{topic}`: send less, or raise `message.max.bytes` of the publisher and `max.message.bytes` of the \
             topic ({code})"
        )),
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::InvalidTopic => PublishError::refused(format!(
            "topic `{topic}` does not exist: create it, or correct the name ({code})"
        )),
        RDKafkaErrorCode::MessageTimedOut => PublishError::unconfirmed(format!(
            "topic `{topic}` did not confirm it within {confirm_timeout:?} (`confirm_timeout`){}",
            last.map_or_else(String::new, |last| format!(
                "; last error of the client: {last}"
            ))
        )),
        RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => {
            PublishError::unconfirmed(format!(
                "topic `{topic}` had not confirmed it when the client was closed"
            ))
        }
        code if is_rejection(code) => {
            let help = permission_help(&code.to_string(), ClientRole::Publisher);
            PublishError::refused(format!("topic `{topic}` rejects it: {code}{help}"))
        }
        code => PublishError::unconfirmed(format!("topic `{topic}`: {code}")),
    }
}

/// Whether another message of the same request may have caused this error.
pub(super) fn is_of_a_request(code: RDKafkaErrorCode) -> bool {
    is_of_size(code)
        || matches!(
            code,
            RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::InvalidDifferentRecord
                | RDKafkaErrorCode::InvalidTimestamp
                | RDKafkaErrorCode::InvalidMessage
                | RDKafkaErrorCode::InvalidArgument
                | RDKafkaErrorCode::UnsupportedForMessageFormat
                | RDKafkaErrorCode::PolicyViolation
        )
}

/// Whether the error is about size.
pub(super) fn is_of_size(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
    )
}

/// Whether sending the message again unchanged would fail again. With any other error the message may have arrived.
fn is_rejection(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::InvalidArgument
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidTimestamp
            | RDKafkaErrorCode::UnsupportedForMessageFormat
            | RDKafkaErrorCode::UnsupportedCompressionType
            | RDKafkaErrorCode::PolicyViolation
    )
}

#[cfg(test)]
mod tests {
    use broadway_core::PublishErrorKind;

    use super::*;

    fn of(code: RDKafkaErrorCode) -> PublishError {
        let error = KafkaError::MessageProduction(code);
        of_message(&error, "orders", Duration::from_secs(30), Some("no route"))
    }

    #[test]
    fn rejected_messages_are_refused_and_those_that_may_have_arrived_are_unconfirmed() {
        for code in [
            RDKafkaErrorCode::MessageSizeTooLarge,
            RDKafkaErrorCode::UnknownTopicOrPartition,
            RDKafkaErrorCode::TopicAuthorizationFailed,
        ] {
            assert_eq!(of(code).kind(), PublishErrorKind::Refused, "{code:?}");
        }
        for code in [
            RDKafkaErrorCode::MessageTimedOut,
            RDKafkaErrorCode::PurgeInflight,
            RDKafkaErrorCode::Fatal,
            RDKafkaErrorCode::NotEnoughReplicas,
        ] {
            assert_eq!(of(code).kind(), PublishErrorKind::Unconfirmed, "{code:?}");
        }
    }

    #[test]
    fn a_timeout_names_the_option_the_topic_and_the_last_error() {
        let text = of(RDKafkaErrorCode::MessageTimedOut).to_string();
        for part in ["confirm_timeout", "orders", "no route"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
