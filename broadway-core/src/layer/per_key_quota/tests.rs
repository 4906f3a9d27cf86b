#![allow(clippy::unwrap_used)]
use std::time::Duration;

use super::*;
use crate::{failure::ClassifiedError, handler::handler_fn, layer::HandlerExt};

const SECOND: Duration = Duration::from_secs(1);

/// How long the message is postponed.
async fn pause(handler: &impl Handler<In = Option<u64>>, key: Option<u64>) -> Option<Duration> {
    let error = handler.handle_message(&mut Message::new(key)).await.err()?;
    let classified = ClassifiedError::find(error.as_ref()).unwrap();
    assert!(classified.is_postponed());
    classified.pause()
}

fn by_key(limit: RateLimit) -> PerKeyQuota<impl Fn(&Message<Option<u64>>) -> KeyHash> {
    PerKeyQuota::new(limit, |message: &Message<Option<u64>>| *message.data())
}

fn ok() -> impl Handler<In = Option<u64>> {
    handler_fn(|_: &mut Message<Option<u64>>| Ok(()))
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_key_beyond_its_rate_are_postponed_and_others_pass() {
    let quota = by_key(RateLimit::per(2, SECOND));
    let counters = quota.handle();
    let handler = ok().layer(quota);
    for _ in 0..2 {
        assert_eq!(pause(&handler, Some(1)).await, None);
    }
    tokio::time::advance(SECOND / 4).await;
    assert_eq!(pause(&handler, Some(1)).await, Some(SECOND * 3 / 4));
    assert_eq!(pause(&handler, Some(2)).await, None);
    tokio::time::advance(SECOND * 3 / 4).await;
    assert_eq!(pause(&handler, Some(1)).await, None);
    assert_eq!((counters.postponed(), counters.keys()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_message_without_a_key_passes() {
    let handler = ok().layer(by_key(RateLimit::per(1, SECOND)));
    for _ in 0..10 {
        assert_eq!(pause(&handler, None).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_the_maximum_are_counted() {
    let quota = by_key(RateLimit::per(1, SECOND)).keys_max(1);
    let counters = quota.handle();
    let handler = ok().layer(quota);
    assert_eq!(pause(&handler, Some(1)).await, None);
    assert_eq!(pause(&handler, Some(2)).await, None);
    assert_eq!(pause(&handler, Some(3)).await, Some(SECOND));
    assert_eq!((counters.beyond_keys_max(), counters.keys()), (1, 1));
}

#[test]
fn invalid_options_are_listed() {
    let handler = ok().layer(by_key(RateLimit::per(0, SECOND).with_burst(0)).keys_max(0));
    let problems = handler.check();
    let options: Vec<_> = problems.iter().map(Problem::option).collect();
    assert_eq!(
        options,
        [
            "per_key_quota.rate_limit",
            "per_key_quota.rate_limit.burst",
            "per_key_quota.keys_max"
        ]
    );
}
