//! The attributes of a queue that the source reads: [`QueueAttributes`].

use std::time::Duration;

use aws_sdk_sqs::{
    operation::get_queue_attributes::GetQueueAttributesOutput, types::QueueAttributeName,
};
use broadway_core::connector::DeliveryLimit;

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
    let count = field(policy, "maxReceiveCount")?.parse().ok()?;
    let arn = field(policy, "deadLetterTargetArn");
    let then = match arn.and_then(|arn| arn.rsplit(':').next()) {
        Some(name) => format!("moves it to the queue `{name}`"),
        None => "moves it to the dead-letter queue".to_owned(),
    };
    let setting = "`maxReceiveCount` of the queue's redrive policy";
    Some(DeliveryLimit::new(count, setting, then))
}

/// A text or a number in a flat JSON object. Neither names nor values of a redrive policy contain escapes.
fn field<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = object.split_once(&format!("\"{name}\""))?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    match value.strip_prefix('"') {
        Some(text) => text.split('"').next(),
        None => value.split([',', '}']).next().map(str::trim_end),
    }
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
