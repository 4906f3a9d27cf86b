//! What an error of the client says about a message: was it refused, or may it have arrived?

use std::time::Duration;

use broadway_core::PublishError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{hint::grant, settings::Side};

/// Why a message for `topic` was not confirmed. `trouble` is what the client last complained of.
pub(crate) fn explain(
    error: &KafkaError,
    topic: &str,
    confirm_timeout: Duration,
    trouble: Option<&str>,
) -> PublishError {
    let Some(code) = error.rdkafka_error_code() else {
        return PublishError::refused(format!("topic `{topic}`: {error}"));
    };
    match code {
        code if is_of_size(code) => PublishError::refused(format!(
            "too large for topic `{topic}`: send less, or raise `message.max.bytes` here and `max.message.bytes` of the \
             topic ({code})"
        )),
        RDKafkaErrorCode::UnknownTopic
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::InvalidTopic => PublishError::refused(format!(
            "there is no topic `{topic}`: create it, or correct the name ({code})"
        )),
        RDKafkaErrorCode::MessageTimedOut => PublishError::unconfirmed(format!(
            "topic `{topic}` did not confirm it within {confirm_timeout:?} (`confirm_timeout`){}",
            trouble.map_or_else(String::new, |trouble| format!("; last trouble: {trouble}"))
        )),
        RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight => {
            PublishError::unconfirmed(format!(
                "topic `{topic}` had not confirmed it when the client was given up"
            ))
        }
        code if is_refusal(code) => {
            let advice = grant(&code.to_string(), Side::Publisher);
            PublishError::refused(format!("topic `{topic}` does not take it: {code}{advice}"))
        }
        code => PublishError::unconfirmed(format!("topic `{topic}`: {code}")),
    }
}

/// Whether a broker that says so may mean another message of the same request.
pub(crate) fn is_of_a_request(code: RDKafkaErrorCode) -> bool {
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

/// Whether it says that something is too large.
pub(crate) fn is_of_size(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
    )
}

/// Whether sending it again unchanged would not help. What is not known to be so, may have arrived.
fn is_refusal(code: RDKafkaErrorCode) -> bool {
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
        explain(&error, "orders", Duration::from_secs(30), Some("no route"))
    }

    #[test]
    fn what_cannot_help_is_refused_and_what_may_have_arrived_is_unconfirmed() {
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
    fn a_time_out_names_the_option_the_topic_and_the_last_trouble() {
        let text = of(RDKafkaErrorCode::MessageTimedOut).to_string();
        for part in ["confirm_timeout", "orders", "no route"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
