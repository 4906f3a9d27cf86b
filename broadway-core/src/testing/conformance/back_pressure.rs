//! Nothing is fetched that nobody asked for.

use super::{
    Subject, Verdict,
    place::{Place, must, number},
};

/// A producer of which little is asked leaves the rest to others.
pub async fn fetches_no_more_than_it_says<S: Subject>(subject: &S) -> Verdict {
    let Some(fetch_max) = subject.abilities().fetch_max else {
        return Verdict::DoesNotApply("what was fetched ahead is not to be seen from outside");
    };
    let total = 2 * fetch_max + 100;
    let numbers = 0..total as u64;
    let place = Place::with(subject, "fetches", numbers).await;
    let mut idle = place.open().await;
    let held = idle.exactly(10).await;
    let mut busy = place.open().await;
    let mut came = std::collections::BTreeSet::new();
    while came.len() < total - 10 - fetch_max {
        let some = must("read", busy.some(100).await);
        came.extend(some.iter().map(number));
        busy.done(some).await;
    }
    idle.done(held).await;
    must("close", idle.close().await);
    must("close", busy.close().await);
    Verdict::Kept
}
