//! Nothing is fetched that nobody asked for.

use tokio::time::timeout;

use super::{
    Subject, Verdict,
    place::{PATIENCE, Place, must, number},
};
use crate::publisher::Outgoing;

/// A producer of which little is asked leaves the rest to others.
pub async fn fetches_no_more_than_it_says<S: Subject>(subject: &S) -> Verdict {
    let Some(fetch_max) = subject.abilities().fetch_max else {
        return Verdict::DoesNotApply("what was fetched ahead is not to be seen from outside");
    };
    let total = 2 * fetch_max + 100;
    let place = Place::new(subject, "fetches").await;
    // Each with a key of its own: of a key that is out, others get nothing, and should not.
    let message = |number: usize| {
        let message = Outgoing::new(number.to_string());
        match subject.abilities().orders_keys {
            true => message.key(format!("key-{number}")),
            false => message,
        }
    };
    place.send((0..total).map(message).collect()).await;
    let mut idle = place.open().await;
    let held = idle.exactly(10).await;
    let mut busy = place.open().await;
    let mut came = std::collections::BTreeSet::new();
    while came.len() < total - 10 - fetch_max {
        let Ok(some) = timeout(PATIENCE / 2, busy.some(100)).await else {
            panic!(
                "fetched more than it says: others get {} of {total}, when {fetch_max} may be fetched ahead",
                came.len()
            );
        };
        let some = must("read", some);
        came.extend(some.iter().map(number));
        busy.done(some).await;
    }
    idle.done(held).await;
    must("close", idle.close().await);
    must("close", busy.close().await);
    Verdict::Kept
}
