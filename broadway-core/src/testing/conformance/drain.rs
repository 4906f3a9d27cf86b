//! Who leaves takes nothing along.

use std::collections::BTreeSet;

use super::{
    ConnectorUnderTest, Verdict,
    fixture::{Fixture, must, number},
};

/// What a closed source had and nobody has done comes again well before its lease would end: it was given back.
pub async fn a_drain_leaves_no_message_leased<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let Some(lease) = connector.capabilities().lease else {
        return Verdict::DoesNotApply(
            "there are no leases: what was held is free with the connection",
        );
    };
    let fixture = Fixture::with(connector, "leaves", 0..30).await;
    let mut reader = fixture.open().await;
    let held = reader.exactly(5).await;
    // What it says about messages that nobody settled is not the point.
    let _ = reader.close().await;
    drop(held);
    let mut reader = fixture.open().await;
    let (came, is_all) = fixture.read_within(&mut reader, 0..30, lease / 2).await;
    assert!(
        is_all,
        "left leased: of 30 messages only {} came within half a lease after a close",
        came.len()
    );
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    fixture.assert_nothing_left().await;
    Verdict::Kept
}

/// A source that is dropped without a close, as the engine does with one that failed, takes nothing along: what it held comes
/// again, where there are leases when they have ended.
pub async fn a_dropped_source_returns_its_messages<S: ConnectorUnderTest>(
    connector: &S,
) -> Verdict {
    let fixture = Fixture::with(connector, "dropped_source", 0..40).await;
    let mut reader = fixture.open().await;
    let mut done = reader.exactly(30).await;
    let held = done.split_off(10);
    let numbers: BTreeSet<u64> = done.iter().map(number).collect();
    reader.done(done).await;
    drop((reader, held));
    let mut reader = fixture.open().await;
    let rest: BTreeSet<u64> = (0..40).filter(|number| !numbers.contains(number)).collect();
    let came = fixture.read_all(&mut reader, rest).await;
    reader.done(came.into_values().flatten()).await;
    must("close", reader.close().await);
    // Also of those that were done, if the drop was faster than their acknowledgement.
    fixture.finish_rest().await;
    Verdict::Kept
}
