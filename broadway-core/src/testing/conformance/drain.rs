//! Who leaves takes nothing along.

use super::{
    Subject, Verdict,
    place::{Place, must},
};

/// What a closed source had and nobody has done comes again well before its lease would end: it was given back.
pub async fn a_drain_leaves_nothing_leased<S: Subject>(subject: &S) -> Verdict {
    let Some(lease) = subject.abilities().lease else {
        return Verdict::DoesNotApply(
            "there are no leases: what was held is free with the connection",
        );
    };
    let place = Place::with(subject, "leaves", 0..30).await;
    let mut reader = place.open().await;
    let held = reader.exactly(5).await;
    // What it says about messages that nobody settled is not the point.
    let _ = reader.close().await;
    drop(held);
    let mut reader = place.open().await;
    let (came, is_all) = place.read_within(&mut reader, 0..30, lease / 2).await;
    assert!(
        is_all,
        "left leased: of 30 messages only {} came within half a lease after a close",
        came.len()
    );
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    place.assert_nothing_left().await;
    Verdict::Kept
}
