//! The dead-letter policy of a subscription.

use broadway_core::connector::DeliveryLimit;
use google_cloud_pubsub::model::Subscription;

/// The default of a policy without a number, which the service documents.
const ATTEMPTS_DEFAULT: u32 = 5;

/// How often the service delivers a message before it publishes it to the dead-letter topic. `None` without a policy.
pub(crate) fn delivery_limit(subscription: &Subscription) -> Option<DeliveryLimit> {
    let policy = subscription.dead_letter_policy.as_ref()?;
    let attempts = match u32::try_from(policy.max_delivery_attempts) {
        Ok(attempts) if attempts > 0 => attempts,
        _ => ATTEMPTS_DEFAULT,
    };
    let setting = "`max_delivery_attempts` of the subscription's dead-letter policy";
    let then = format!("publishes it to the topic `{}`", policy.dead_letter_topic);
    Some(DeliveryLimit::new(attempts, setting, then))
}

#[cfg(test)]
mod tests {
    use google_cloud_pubsub::model::DeadLetterPolicy;

    use super::*;

    fn deliveries(attempts: i32) -> Option<u32> {
        let policy = DeadLetterPolicy::new()
            .set_dead_letter_topic("projects/p/topics/dead")
            .set_max_delivery_attempts(attempts);
        let subscription = Subscription::new().set_dead_letter_policy(policy);
        delivery_limit(&subscription).map(|limit| limit.deliveries())
    }

    #[test]
    fn a_policy_limits_deliveries_to_5_unless_it_has_a_number() {
        assert_eq!((deliveries(7), deliveries(0)), (Some(7), Some(5)));
        assert_eq!(delivery_limit(&Subscription::new()), None);
    }
}
