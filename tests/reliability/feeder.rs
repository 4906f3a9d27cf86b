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

/// The most messages that one call publishes.
const CALL: usize = 200;
/// How many messages there are for each one that the connector's client cannot read, if there is such a message. Fewer of those
/// come in a full run.
const UNREADABLE_EVERY: [usize; 2] = [CALL, 10 * CALL];

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
    let mut since_unreadable = every;
    while !left.is_empty() {
        if since_unreadable >= every {
            since_unreadable = 0;
            fed.unreadable += u64::from(broker.send_unreadable(place).await.unwrap());
        }
        let next = next_call(plan, &left);
        since_unreadable += next;
        let call = left.split_off(left.len() - next);
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

/// Returns how many of the ids at the end of `left` to publish together. A hostile message goes alone: if the broker closes the channel
/// over it, a publisher may send the other messages of the call twice, and the repeats would not be the pipeline's.
fn next_call(plan: Plan, left: &[u64]) -> usize {
    let is_hostile = |id: &u64| matches!(plan.kind(*id), Kind::Hostile(_));
    let good = left
        .iter()
        .rev()
        .take(CALL)
        .take_while(|id| !is_hostile(id));
    good.count().max(1)
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
