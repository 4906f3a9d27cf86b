//! What all scenarios have in common: the messages, and callers that publish them.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use broadway::{Outgoing, Publisher};
use tokio::task::JoinSet;

use super::BoxError;
use super::clock::{Clock, Cost};

/// As in the figures that we compare with.
pub(crate) const PAYLOAD: &[u8] = &[b'x'; 100];

/// A name that no other run has.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.as_micros());
    format!(
        "bench-{}-{now}-{}",
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Publishes `messages` with this many callers at once, in calls of `size` messages each, as the batch processors of a
/// pipeline do; then closes the publisher.
pub(crate) async fn publish<P: Publisher>(
    publisher: P,
    messages: u64,
    callers: usize,
    size: usize,
) -> Result<Cost, BoxError> {
    let publisher = Arc::new(publisher);
    let clock = Clock::new(messages);
    let begun = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    clock.begin();
    for _ in 0..callers {
        let (publisher, clock, begun) = (Arc::clone(&publisher), clock.clone(), Arc::clone(&begun));
        tasks.spawn(async move {
            loop {
                let from = begun.fetch_add(size as u64, Ordering::Relaxed);
                let n = messages.saturating_sub(from).min(size as u64);
                if n == 0 {
                    return Ok(());
                }
                let batch = (0..n).map(|_| Outgoing::new(PAYLOAD));
                let results = publisher.publish(batch.collect()).await;
                if let Some(error) = results.into_iter().find_map(Result::err) {
                    return Err(error);
                }
                clock.handled(n);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let cost = clock.cost().ok_or("the messages were not all confirmed")?;
    publisher.close().await?;
    Ok(cost)
}
