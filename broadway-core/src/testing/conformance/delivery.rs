//! All that was sent comes, and only once where nothing went wrong.

use std::collections::BTreeSet;

use super::{
    Subject, Verdict,
    place::{Place, must, number},
};

/// Every message comes, with the payload that was sent.
pub async fn delivers_all<S: Subject>(subject: &S) -> Verdict {
    let place = Place::with(subject, "delivers_all", 0..500).await;
    let mut reader = place.open().await;
    let came = place.read_all(&mut reader, 0..500).await;
    for (number, deliveries) in &came {
        assert_eq!(
            deliveries.len(),
            1,
            "delivered twice: {number}, with nothing gone wrong"
        );
    }
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    place.assert_nothing_left().await;
    Verdict::Kept
}

/// A source that is opened again goes on where the one before ended.
pub async fn goes_on_after_a_reopening<S: Subject>(subject: &S) -> Verdict {
    let place = Place::with(subject, "goes_on", 0..100).await;
    let mut reader = place.open().await;
    let first = reader.exactly(40).await;
    let done: BTreeSet<u64> = first.iter().map(number).collect();
    reader.done(first).await;
    must("close", reader.close().await);
    let mut reader = place.open().await;
    let rest: BTreeSet<u64> = (0..100).filter(|number| !done.contains(number)).collect();
    let mut came = BTreeSet::new();
    while came.len() < rest.len() {
        let some = must("read", reader.some(100).await);
        for received in &some {
            let number = number(received);
            assert!(
                rest.contains(&number),
                "acknowledged and delivered again: {number}"
            );
            came.insert(number);
        }
        reader.done(some).await;
    }
    must("close", reader.close().await);
    place.assert_nothing_left().await;
    Verdict::Kept
}

/// No more comes than was asked for, and something comes as soon as there is something.
pub async fn delivers_on_demand_only<S: Subject>(subject: &S) -> Verdict {
    let place = Place::with(subject, "on_demand", 0..20).await;
    let mut reader = place.open().await;
    let mut came = Vec::new();
    while came.len() < 20 {
        // `some` panics when more comes than this.
        came.extend(must("read", reader.some(3).await));
    }
    reader.done(came).await;
    must("close", reader.close().await);
    Verdict::Kept
}
