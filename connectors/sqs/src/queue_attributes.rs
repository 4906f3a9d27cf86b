//! The attributes of a queue that the source reads: [`QueueAttributes`].

use std::time::Duration;

use aws_sdk_sqs::{
    operation::get_queue_attributes::GetQueueAttributesOutput, types::QueueAttributeName,
};
use broadway_core::connector::DeliveryLimit;
use serde_json::Value;

/// The attributes of a queue, as far as they are known.
#[derive(Debug, Default)]
pub(crate) struct QueueAttributes {
    pub(crate) visibility: Option<Duration>,
    /// Of its redrive policy, if it has one.
    pub(crate) delivery_limit: Option<DeliveryLimit>,
}

impl QueueAttributes {
    pub(crate) fn of(response: &GetQueueAttributesOutput) -> Self {
        let attribute = |name| response.attributes()?.get(&name).map(String::as_str);
        let visibility = attribute(QueueAttributeName::VisibilityTimeout);
        let policy = attribute(QueueAttributeName::RedrivePolicy);
        Self {
            visibility: visibility
                .and_then(|text| text.parse().ok())
                .map(Duration::from_secs),
            delivery_limit: policy.and_then(delivery_limit),
        }
    }
}

/// The limit in a redrive policy: `{"deadLetterTargetArn":"arn:aws:sqs:…:orders-dead","maxReceiveCount":"3"}`. SQS returns the number
/// as text or as a number.
fn delivery_limit(policy: &str) -> Option<DeliveryLimit> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    let count = match policy.get("maxReceiveCount")? {
        Value::String(text) => text.parse().ok()?,
        number => u32::try_from(number.as_u64()?).ok()?,
    };
    let arn = policy.get("deadLetterTargetArn").and_then(Value::as_str);
    let then = match arn.and_then(|arn| arn.rsplit(':').next()) {
        Some(name) => format!("moves it to the queue `{name}`"),
        None => "moves it to the dead-letter queue".to_owned(),
    };
    let setting = "`maxReceiveCount` of the queue's redrive policy";
    Some(DeliveryLimit::new(count, setting, then))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deliveries(policy: &str) -> Option<u32> {
        delivery_limit(policy).map(|limit| limit.deliveries())
    }

    #[test]
    fn the_limit_is_read_as_text_and_as_a_number() {
        let text = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-central-1:1:orders-dead","maxReceiveCount":"3"}"#;
        assert_eq!(deliveries(text), Some(3));
        let limit = delivery_limit(text);
        assert!(format!("{limit:?}").contains("`orders-dead`"), "{limit:?}");
        assert_eq!(deliveries(r#"{ "maxReceiveCount" : 1000 }"#), Some(1_000));
    }

    #[test]
    fn a_policy_that_is_not_understood_is_no_limit() {
        for policy in [
            "",
            "{}",
            "[]",
            "null",
            r#"{"maxReceiveCount":-1}"#,
            r#"{"maxReceiveCount":"x"}"#,
        ] {
            assert_eq!(deliveries(policy), None, "{policy}");
        }
    }
}
