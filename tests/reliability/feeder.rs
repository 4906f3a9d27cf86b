//! Sends the messages of a plan, and records which of them the broker has.

use std::collections::BTreeSet;

use broadway::{
    Publisher,
    publisher::{PublishError, PublishErrorKind},
};

use crate::{
    broker::Broker,
    plan::{Kind, Plan},
};

/// How many messages one call publishes.
const CALL: usize = 200;
/// After this many calls a message follows that the connector's client cannot read, if there is such a message; fewer
/// in a full run.
const UNREADABLE_EVERY: [usize; 2] = [1, 10];

/// The result of feeding.
#[derive(Debug, Default)]
pub(crate) struct Fed {
    /// The hostile messages that this broker cannot accept.
    pub(crate) refused: BTreeSet<u64>,
    /// Messages that were not confirmed and sent again: they may be there twice.
    pub(crate) again: u64,
    /// Messages that the client cannot read.
    pub(crate) unreadable: u64,
}

/// Sends these ids in order, each until it is confirmed.
pub(crate) async fn feed<B: Broker>(
    broker: &B,
    place: &str,
    plan: Plan,
    ids: std::ops::Range<u64>,
) -> Fed {
    let publisher = broker.publisher(place, None).await.unwrap();
    let mut fed = Fed::default();
    let mut left: Vec<u64> = ids.collect();
    left.reverse();
    let every = UNREADABLE_EVERY[usize::from(plan.is_full())];
    for number in 0.. {
        if left.is_empty() {
            break;
        }
        if number % every == 0 && broker.send_unreadable(place).await.unwrap() {
            fed.unreadable += 1;
        }
        let call = left.split_off(left.len().saturating_sub(CALL));
        let call: Vec<_> = call.into_iter().rev().collect();
        let messages = call.iter().map(|id| plan.message(*id)).collect();
        let results = publisher.publish(messages).await;
        let failed = call.into_iter().zip(results).rev();
        for (id, error) in failed.filter_map(|(id, result)| Some((id, result.err()?))) {
            if fed.is_to_be_sent_again(plan, id, &error) {
                left.push(id);
            }
        }
    }
    publisher.close().await.unwrap();
    fed
}

impl Fed {
    fn is_to_be_sent_again(&mut self, plan: Plan, id: u64, error: &PublishError) -> bool {
        match (error.kind(), plan.kind(id)) {
            (PublishErrorKind::Refused, Kind::Hostile(_)) => {
                self.refused.insert(id);
                false
            }
            (PublishErrorKind::Unconfirmed, _) => {
                self.again += 1;
                true
            }
            _ => panic!("the broker does not take {id}, which is good: {error}"),
        }
    }
}
