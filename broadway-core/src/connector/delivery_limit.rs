//! [`DeliveryLimit`]: how often a broker delivers a message before it puts it aside.

use crate::{source::OpenContext, telemetry::Event};

/// How often a broker delivers a message before it puts it aside by its own rule: the redrive policy of an SQS queue, the delivery limit of
/// a quorum queue, the dead-letter policy of a subscription.
///
/// The broker counts deliveries. Retries of the pipeline in place are within one delivery; a rejected or delayed message, a crash, a lost
/// lease and, at most brokers, a drain use up one each. So the rule may act before the pipeline's
/// [`FailurePolicy`](crate::FailurePolicy) has made all its attempts.
///
/// ```
/// use broadway_core::{OpenContext, connector::DeliveryLimit};
///
/// let limit = DeliveryLimit::new(3, "`maxReceiveCount` of the redrive policy", "moves it to `orders-dead`");
/// limit.report(&OpenContext::for_test(), "orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a limit is found in order to `report` it"]
pub struct DeliveryLimit {
    deliveries: u32,
    setting: &'static str,
    then: String,
    drops: bool,
}

impl DeliveryLimit {
    /// A limit of this number of deliveries in all. `setting` names it at the broker; `then` continues "after them, the broker …".
    pub fn new(deliveries: u32, setting: &'static str, then: impl Into<String>) -> Self {
        Self {
            deliveries,
            setting,
            then: then.into(),
            drops: false,
        }
    }

    /// Whether the broker may drop the message, rather than move it elsewhere. Defaults to `false`.
    pub fn drops(mut self, drops: bool) -> Self {
        self.drops = drops;
        self
    }

    /// Returns how often a message is delivered in all.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Reports [`Event::DeliveryLimit`]: as a warning if the rule may act before the pipeline's retries are used up, if it allows a single
    /// delivery, or if it may drop messages. `part` names the queue or subscription.
    ///
    /// Call it once for each opening of the source. Only the first of several producers reports, since all read the same queue.
    pub fn report(&self, cx: &OpenContext, part: &str) {
        if cx.producer() > 0 {
            return;
        }
        let advice = self.advice(cx.retry_attempts());
        let note = format!(
            "{}: after them, the broker {}. Retries of the pipeline are within one delivery; a rejected or delayed message, a crash, a \
             lost lease and a drain use up one each{}",
            self.setting,
            self.then,
            advice.as_deref().unwrap_or_default(),
        );
        cx.emitter().emit(&Event::DeliveryLimit {
            producer: cx.producer(),
            part,
            deliveries: self.deliveries,
            is_warning: advice.is_some(),
            note: &note,
        });
    }

    /// What to change, and why; `None` if nothing is to be.
    fn advice(&self, attempts: Option<u32>) -> Option<String> {
        let deliveries = self.deliveries;
        let attempts = attempts.filter(|&attempts| attempts > 1 && attempts >= deliveries);
        let mut advice = String::new();
        if let Some(attempts) = attempts {
            let up_to = match attempts {
                u32::MAX => "any number of attempts".to_owned(),
                _ => format!("up to {attempts} attempts"),
            };
            advice += &format!(
                ". The pipeline makes {up_to}; each that waits at the broker is a delivery, so the broker may act first: raise its limit \
                 above the attempts, or make fewer"
            );
        } else if deliveries <= 1 {
            advice += ". With one delivery, a message that is returned unhandled is put aside as well: allow more";
        }
        if self.drops {
            advice += ". A dropped message is lost: name a place for dead letters at the broker";
        }
        (!advice.is_empty()).then_some(advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        telemetry::Emitter,
        testing::{RecordedEvent, Recorder},
    };

    /// The `is_warning` and the `note` of each report.
    fn reports(
        limit: &DeliveryLimit,
        attempts: Option<u32>,
        producer: usize,
    ) -> Vec<(String, String)> {
        let recorder = Recorder::new();
        let mut cx = OpenContext::for_test()
            .with_emitter(Emitter::new("test", recorder.clone()))
            .with_retry_attempts(attempts);
        cx.producer = producer;
        limit.report(&cx, "orders");
        let field = |event: &RecordedEvent, name| event.get(name).unwrap_or_default().to_owned();
        let events = recorder.of("delivery_limit");
        let events = events.iter();
        events
            .map(|event| (field(event, "is_warning"), field(event, "note")))
            .collect()
    }

    fn warns(deliveries: u32, attempts: Option<u32>) -> bool {
        let limit = DeliveryLimit::new(deliveries, "`limit`", "moves it to `dead`");
        let reports = reports(&limit, attempts, 0);
        assert_eq!(reports.len(), 1);
        assert!(reports[0].1.contains("moves it to `dead`"), "{reports:?}");
        reports[0].0 == "true"
    }

    #[test]
    fn a_limit_warns_if_the_retries_may_not_be_used_up() {
        assert!(!warns(5, None) && !warns(5, Some(4)));
        assert!(warns(5, Some(5)) && warns(5, Some(u32::MAX)));
    }

    #[test]
    fn a_limit_of_one_delivery_always_warns() {
        assert!(warns(1, None) && warns(1, Some(1)));
        assert!(!warns(2, Some(1)), "a single attempt retries nothing");
    }

    #[test]
    fn a_limit_that_drops_messages_warns() {
        let limit = DeliveryLimit::new(21, "`x-delivery-limit`", "drops it").drops(true);
        let reports = reports(&limit, None, 0);
        assert_eq!(reports[0].0, "true");
        assert!(reports[0].1.contains("is lost"), "{reports:?}");
    }

    #[test]
    fn only_the_first_producer_reports() {
        let limit = DeliveryLimit::new(1, "`limit`", "drops it");
        assert_eq!(reports(&limit, None, 1), []);
    }
}
